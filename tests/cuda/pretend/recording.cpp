#include "cuda/pretend/recording.h"

#include <c10/core/impl/VirtualGuardImpl.h>

#include <vector>

#include "cuda/pretend/arena.h"
#include "cuemu/cuemu.h"

namespace setun::test {
namespace {

constexpr at::DeviceType kDevice = at::DeviceType::PrivateUse1;

class Recording;
Recording* active =
    nullptr;  // one at a time; backward's thread works while the recording one waits
std::size_t replay_count = 0;
LaunchPlace last{-1, -1};

LaunchPlace here() {
  const c10::impl::VirtualGuardImpl of(kDevice);
  const c10::Device device = of.getDevice();
  return {device.index(), of.getStream(device).id()};
}

class Recording final : public ops::DeviceGraph {
 public:
  ~Recording() override { arena().retire(pool_); }
  void begin() override {
    TORCH_CHECK(active == nullptr, "two recordings at once");
    stream_ = here().stream;
    TORCH_CHECK(stream_ != 0, "the default stream cannot be recorded");
    pool_ = arena().begin_recording();
    active = this;
  }
  void end() override {
    active = nullptr;
    arena().end_recording();
  }
  void replay() override {
    ++replay_count;
    for (const std::function<void()>& work : notes_) {
      work();
    }
  }
  void note(std::function<void()> work) { notes_.push_back(std::move(work)); }
  c10::StreamId stream() const { return stream_; }

 private:
  c10::StreamId stream_ = 0;
  int pool_ = 0;
  std::vector<std::function<void()>> notes_;
};

int on_stream(const void* stream, const cuemu::Work& work) {
  last = {here().device, reinterpret_cast<c10::StreamId>(stream)};
  if (active != nullptr) {
    TORCH_CHECK(last.stream == active->stream(), "a kernel on a stream that is not recorded");
    active->note([work] {
      const Opened opened;
      TORCH_CHECK(work() == 0, "a kernel failed in a replay: ", cuemu::last_message());
    });
  }
  return work();
}

}  // namespace

bool recording() { return active != nullptr; }

void note(std::function<void()> work) { active->note(std::move(work)); }

at::Tensor address_of(const at::Tensor& tensor) {
  const c10::Storage& storage = tensor.storage();
  c10::Storage same(c10::Storage::use_byte_size_t{}, storage.nbytes(),
                    c10::DataPtr(const_cast<void*>(storage.data()), tensor.device()), nullptr,
                    /*resizable=*/false);
  at::Tensor made = at::detail::make_tensor<at::TensorImpl>(
      std::move(same), c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), tensor.dtype());
  made.unsafeGetTensorImpl()->set_storage_offset(tensor.storage_offset());
  made.unsafeGetTensorImpl()->set_sizes_and_strides(tensor.sizes(), tensor.strides());
  return made;
}

std::unique_ptr<ops::DeviceGraph> make_recording() { return std::make_unique<Recording>(); }

std::size_t replays() { return replay_count; }

LaunchPlace last_launch() { return last; }

void listen_to_launches() { cuemu::use_listener(on_stream); }

}  // namespace setun::test
