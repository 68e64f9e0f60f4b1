#include "cuda/pretend/device.h"

#include <ATen/EmptyTensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/view_native.h>
#include <c10/core/DeviceType.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <sys/mman.h>
#include <torch/library.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "ops/cuda/launch.h"

namespace setun::test {
namespace {

constexpr at::DeviceType kDevice = at::DeviceType::PrivateUse1;
std::atomic<std::size_t> sent{0}, fetched{0};

// Blocks of powers of two from one reservation; freed ones are kept by size. The memory is mapped
// twice: tensors have the addresses that are locked, copies use the others.
class Arena {
 public:
  Arena() {
    const int file = memfd_create("pretended device", 0);
    TORCH_CHECK(file >= 0 && ftruncate(file, kReserved) == 0, "no memory for the pretended device");
    base_ = map(file, PROT_NONE);
    open_ = map(file, PROT_READ | PROT_WRITE);
    ::close(file);
  }
  // Where the host may reach a block at any time.
  void* unlocked(const void* block) const {
    return open_ + (static_cast<const char*>(block) - base_);
  }
  void* allocate(std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    std::size_t size = 256;
    while (size < bytes) {
      size *= 2;
    }
    std::vector<void*>& free = free_[size];
    if (!free.empty()) {
      void* block = free.back();
      free.pop_back();
      return block;
    }
    TORCH_CHECK(used_ + size <= kReserved, "the pretended device is out of memory");
    used_ += size;
    if (opened_ > 0) {
      protect(PROT_READ | PROT_WRITE);
    }
    return base_ + used_ - size;
  }
  void release(void* block, std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    std::size_t size = 256;
    while (size < bytes) {
      size *= 2;
    }
    free_[size].push_back(block);
  }
  void open() {
    const std::lock_guard lock(mutex_);
    if (opened_++ == 0) {
      protect(PROT_READ | PROT_WRITE);
    }
  }
  void close() {
    const std::lock_guard lock(mutex_);
    if (--opened_ == 0) {
      protect(PROT_NONE);
    }
  }

 private:
  void protect(int access) {
    TORCH_CHECK(mprotect(base_, (used_ + 4095) & ~std::size_t{4095}, access) == 0,
                "mprotect failed");
  }

  static char* map(int file, int access) {
    void* memory = mmap(nullptr, kReserved, access, MAP_SHARED | MAP_NORESERVE, file, 0);
    TORCH_CHECK(memory != MAP_FAILED, "no addresses for the pretended device");
    return static_cast<char*>(memory);
  }

  static constexpr std::size_t kReserved = std::size_t{1} << 30;
  char *base_ = nullptr, *open_ = nullptr;
  std::size_t used_ = 0;
  int opened_ = 0;
  std::map<std::size_t, std::vector<void*>> free_;
  std::mutex mutex_;
};

Arena& arena() {
  static Arena& one = *new Arena;  // outlives every tensor
  return one;
}

struct Opened {
  Opened() { arena().open(); }
  ~Opened() { arena().close(); }
  Opened(const Opened&) = delete;
  Opened& operator=(const Opened&) = delete;
};

struct Block {
  void* data;
  std::size_t bytes;
};

// New memory holds 0xFF: NaN, so that nothing passes by being zero.
struct Memory : c10::Allocator {
  c10::DataPtr allocate(std::size_t bytes) override {
    void* data = bytes == 0 ? nullptr : arena().allocate(bytes);
    if (data != nullptr) {
      std::memset(arena().unlocked(data), 0xFF, bytes);
    }
    const auto free = [](void* context) {
      const std::unique_ptr<Block> block(static_cast<Block*>(context));
      if (block->data != nullptr) {
        arena().release(block->data, block->bytes);
      }
    };
    return {data, new Block{data, bytes}, free, at::Device(kDevice, 0)};
  }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    std::memcpy(arena().unlocked(to), arena().unlocked(from), bytes);
  }
};

Memory& memory() {
  static Memory one;
  return one;
}

struct Guard final : c10::impl::DeviceGuardImplInterface {
  at::DeviceType type() const override { return kDevice; }
  at::Device exchangeDevice(at::Device) const override { return getDevice(); }
  at::Device getDevice() const override { return {kDevice, 0}; }
  void setDevice(at::Device) const override {}
  void uncheckedSetDevice(at::Device) const noexcept override {}
  c10::Stream getStream(at::Device device) const override {
    return c10::Stream(c10::Stream::DEFAULT, device);
  }
  c10::Stream getDefaultStream(at::Device device) const override { return getStream(device); }
  c10::Stream exchangeStream(c10::Stream stream) const override { return stream; }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  void record(void**, const c10::Stream&, c10::DeviceIndex, c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override {}
  void synchronizeDevice(c10::DeviceIndex) const override {}
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard)

struct Hooks : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex) const override { return 0; }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex) const override { return 0; }
  void setCurrentDevice(c10::DeviceIndex) const override {}
};

constexpr c10::DispatchKeySet kKeys(c10::DispatchKey::PrivateUse1);

at::Tensor empty(at::IntArrayRef size, std::optional<at::ScalarType> dtype,
                 std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>,
                 std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(size, &memory(), kKeys, c10::dtype_or_default(dtype), format);
}

at::Tensor empty_strided(at::IntArrayRef size, at::IntArrayRef stride,
                         std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                         std::optional<at::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(size, stride, &memory(), kKeys,
                                           c10::dtype_or_default(dtype));
}

// The same memory as a tensor of the host.
at::Tensor host_view(const at::Tensor& t) {
  if (t.is_cpu()) {
    return t;
  }
  return at::from_blob(t.numel() == 0 ? nullptr : arena().unlocked(t.const_data_ptr()), t.sizes(),
                       t.strides(), at::TensorOptions().dtype(t.scalar_type()));
}

at::Tensor copy_from(const at::Tensor& self, const at::Tensor& to, bool) {
  sent += self.is_cpu() && !to.is_cpu() ? 1 : 0;
  fetched += to.is_cpu() && !self.is_cpu() ? 1 : 0;
  host_view(to).copy_(host_view(self));
  return to;
}

const at::Tensor& resize_(const at::Tensor& self, at::IntArrayRef size,
                          std::optional<at::MemoryFormat> format) {
  const Opened opened;
  return at::native::resize_(self, size, format);
}

at::Tensor copy_from_and_resize(const at::Tensor& self, const at::Tensor& to) {
  if (to.sizes() != self.sizes()) {
    resize_(to, self.sizes(), std::nullopt);
  }
  return copy_from(self, to, false);
}

// What LibTorch's CUDA operators say of a tensor that is elsewhere; scalars on the host may be.
void check_devices(const c10::OperatorHandle& op, const torch::jit::Stack& stack) {
  const std::size_t count = op.schema().arguments().size();
  const auto check = [&](const at::Tensor& t) {
    TORCH_CHECK(!t.defined() || !t.is_cpu() || t.dim() == 0, op.schema().name(),
                ": Expected all tensors to be on the same device, but found at least two devices, ",
                "the pretended one and cpu");
  };
  for (std::size_t i = stack.size() - count; i < stack.size(); ++i) {
    if (stack[i].isTensor()) {
      check(stack[i].toTensor());
    } else if (stack[i].isTensorList()) {
      for (const at::Tensor& t : stack[i].toTensorVector()) {
        check(t);
      }
    }
  }
}

// Setun's own operators must have a kernel for the device; attention has none on CUDA either.
void check_library(const c10::OperatorHandle& op) {
  const std::string& name = op.schema().name();
  TORCH_CHECK(name.rfind("setun::", 0) != 0 || name.rfind("setun::causal_attention", 0) == 0, name,
              ": has no kernel for CUDA tensors");
}

void on_cpu(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  check_library(op);
  check_devices(op, *stack);
  const std::size_t before_sent = sent, before_fetched = fetched;
  at::native::cpu_fallback(op, stack, /*error_on_views=*/true);
  if (op.schema().name() != "aten::_local_scalar_dense") {  // a read by the host stays counted
    sent = before_sent;
    fetched = before_fetched;
  }
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&on_cpu>());
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", empty);
  m.impl("empty_strided", empty_strided);
  m.impl("_copy_from", copy_from);
  m.impl("_copy_from_and_resize", copy_from_and_resize);
  m.impl("resize_", resize_);
  m.impl("as_strided", at::native::as_strided_tensorimpl);
  m.impl("view", at::native::view);
  m.impl("_reshape_alias", at::native::_reshape_alias);
  // Module::to puts tensors of the device into parameters made on the host.
  m.impl("_has_compatible_shallow_copy_type",
         [](const at::Tensor&, const at::Tensor&) { return true; });
}

}  // namespace

void pretend_device() {
  static const bool done = [] {
    c10::register_privateuse1_backend("pretended");
    c10::SetAllocator(kDevice, &memory());
    at::RegisterPrivateUse1HooksInterface(new Hooks);
    ops::cuda::EmulatedMemory::open = [] { arena().open(); };
    ops::cuda::EmulatedMemory::close = [] { arena().close(); };
    return true;
  }();
  static_cast<void>(done);
}

Transfers transfers() { return {sent, fetched}; }

}  // namespace setun::test
