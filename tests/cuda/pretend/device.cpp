#include "cuda/pretend/device.h"

#include <ATen/EmptyTensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/view_native.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/DeviceType.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <array>
#include <atomic>
#include <cstring>
#include <utility>

#include "cuda/pretend/arena.h"
#include "cuda/pretend/recording.h"
#include "ops/cuda/launch.h"

namespace setun::test {
namespace {

constexpr at::DeviceType kDevice = at::DeviceType::PrivateUse1;
constexpr c10::DeviceIndex kDevices = 2;
std::atomic<std::size_t> sent{0}, fetched{0};

// Of the calling thread, as on CUDA.
struct Current {
  c10::DeviceIndex device = 0;
  std::array<c10::StreamId, kDevices> stream{};
};
Current& current() {
  thread_local Current one;
  return one;
}

struct Memory : c10::Allocator {
  c10::DataPtr allocate(std::size_t bytes) override {
    return arena().allocate(bytes, {kDevice, current().device});
  }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    std::memcpy(arena().unlocked(to), arena().unlocked(from), bytes);
  }
};

Memory& memory() {
  static Memory one;
  return one;
}

// Streams are numbers: work runs when it is launched, but on_stream() sees where it was meant to.
struct Guard final : c10::impl::DeviceGuardImplInterface {
  at::DeviceType type() const override { return kDevice; }
  at::Device exchangeDevice(at::Device to) const override {
    const at::Device before = getDevice();
    setDevice(to);
    return before;
  }
  at::Device getDevice() const override { return {kDevice, current().device}; }
  void setDevice(at::Device to) const override { current().device = to.index(); }
  void uncheckedSetDevice(at::Device to) const noexcept override { current().device = to.index(); }
  c10::Stream getStream(at::Device device) const override {
    return c10::Stream(c10::Stream::UNSAFE, device, current().stream.at(index_of(device)));
  }
  c10::Stream getDefaultStream(at::Device device) const override {
    return c10::Stream(c10::Stream::DEFAULT, device);
  }
  c10::Stream getStreamFromGlobalPool(at::Device device, bool) const override {
    static std::atomic<c10::StreamId> last{0};
    return c10::Stream(c10::Stream::UNSAFE, device, ++last);
  }
  c10::Stream exchangeStream(c10::Stream to) const override {
    const c10::Stream before = getStream(to.device());
    current().stream.at(index_of(to.device())) = to.id();
    return before;
  }
  c10::DeviceIndex deviceCount() const noexcept override { return kDevices; }
  void record(void**, const c10::Stream&, c10::DeviceIndex, c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override {}
  void synchronizeDevice(c10::DeviceIndex) const override {}

 private:
  static std::size_t index_of(at::Device device) {
    return static_cast<std::size_t>(device.index() < 0 ? current().device : device.index());
  }
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard)

struct Hooks : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return kDevices; }
  c10::DeviceIndex getCurrentDevice() const override { return current().device; }
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex to) const override {
    return std::exchange(current().device, to);
  }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex to) const override {
    return to < 0 ? current().device : exchangeDevice(to);
  }
  void setCurrentDevice(c10::DeviceIndex to) const override { current().device = to; }
};

constexpr c10::DispatchKeySet kKeys(c10::DispatchKey::PrivateUse1);

at::Tensor empty(at::IntArrayRef size, std::optional<at::ScalarType> dtype,
                 std::optional<at::Layout>, std::optional<at::Device> device, std::optional<bool>,
                 std::optional<at::MemoryFormat> format) {
  const c10::OptionalDeviceGuard guard(device);
  return at::detail::empty_generic(size, &memory(), kKeys, c10::dtype_or_default(dtype), format);
}

at::Tensor empty_strided(at::IntArrayRef size, at::IntArrayRef stride,
                         std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                         std::optional<at::Device> device, std::optional<bool>) {
  const c10::OptionalDeviceGuard guard(device);
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

// An operator of LibTorch is at work: the copies it makes are its own.
thread_local bool inside_operator = false;

at::Tensor copy_from(const at::Tensor& self, const at::Tensor& to, bool) {
  const bool sends = self.is_cpu() && !to.is_cpu(), fetches = to.is_cpu() && !self.is_cpu();
  sent += sends ? 1 : 0;
  fetched += fetches ? 1 : 0;
  if (!inside_operator && recording()) {
    TORCH_CHECK(!sends && !fetches,
                "a copy between host and device: not permitted while a stream is recorded");
    note([from = address_of(self), into = address_of(to)] {
      host_view(into).copy_(host_view(from));
    });
  }
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

void run_on_cpu(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const bool outer = !inside_operator;
  const std::size_t before_sent = sent, before_fetched = fetched;
  inside_operator = true;
  try {
    at::native::cpu_fallback(op, stack, /*error_on_views=*/true);
  } catch (...) {
    inside_operator = !outer;
    throw;
  }
  inside_operator = !outer;
  if (op.schema().name() != "aten::_local_scalar_dense") {  // a read by the host stays counted
    sent = before_sent;
    fetched = before_fetched;
  }
}

// Every tensor of the device among the values by its address; scalars on the host stay what they
// are.
c10::IValue by_address(const c10::IValue& value) {
  const auto place = [](const at::Tensor& t) {
    return t.defined() && !t.is_cpu() ? address_of(t) : t;
  };
  if (value.isTensor()) {
    return place(value.toTensor());
  }
  if (value.isTensorList()) {
    c10::List<at::Tensor> all;
    for (const at::Tensor& t : value.toTensorVector()) {
      all.push_back(place(t));
    }
    return all;
  }
  if (value.isOptionalTensorList()) {
    c10::List<std::optional<at::Tensor>> all;
    for (const std::optional<at::Tensor>& t : value.toOptionalTensorVector()) {
      all.push_back(t ? std::optional(place(*t)) : std::nullopt);
    }
    return all;
  }
  return value;
}

torch::jit::Stack last_of(const torch::jit::Stack& stack, std::size_t count) {
  torch::jit::Stack all;
  for (std::size_t i = stack.size() - count; i < stack.size(); ++i) {
    all.push_back(by_address(stack[i]));
  }
  return all;
}

void write_back(const c10::IValue& made, const c10::IValue& place) {
  if (made.isTensorList()) {
    const std::vector<at::Tensor> from = made.toTensorVector(), to = place.toTensorVector();
    for (std::size_t i = 0; i < to.size(); ++i) {
      write_back(from[i], to[i]);
    }
  } else if (made.isTensor() && made.toTensor().defined() &&
             made.toTensor().const_data_ptr() != place.toTensor().const_data_ptr()) {
    host_view(place.toTensor()).copy_(host_view(made.toTensor()));
  }
}

void on_cpu(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  check_library(op);
  check_devices(op, *stack);
  if (inside_operator || !recording()) {
    run_on_cpu(op, stack);
    return;
  }
  TORCH_CHECK(op.schema().name() != "aten::_local_scalar_dense",
              "a read by the host: not permitted while a stream is recorded");
  const auto count = static_cast<std::ptrdiff_t>(op.schema().arguments().size());
  const torch::jit::Stack given(stack->end() - count, stack->end());
  run_on_cpu(op, stack);  // may give an argument of size 0 its size
  note([op, arguments = last_of(given, given.size()),
        places = last_of(*stack, op.schema().returns().size())] {
    const c10::NoGradGuard no_grad;
    torch::jit::Stack again = arguments;
    run_on_cpu(op, &again);
    for (std::size_t i = 0; i < places.size(); ++i) {
      write_back(again[i], places[i]);
    }
  });
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
    ops::set_graph_stand_in(make_recording);
    listen_to_launches();
    return true;
  }();
  static_cast<void>(done);
}

Transfers transfers() { return {sent, fetched}; }

}  // namespace setun::test
