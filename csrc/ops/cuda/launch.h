// How an operator's glue reaches a kernel of cuda/: the tensor's device is made current, the kernel
// goes to its current stream, and an error names the operator. With SETUN_EMU the kernels run on
// the emulator, on tensors in host memory, so that the glue can be tested without a GPU.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <initializer_list>
#include <optional>

#include "cuda/runtime.h"
#if !defined(SETUN_EMU)
#include <c10/cuda/CUDAStream.h>
#endif

namespace setun::ops::cuda {

#if defined(SETUN_EMU)
struct EmulatedDevice {
  static inline bool int4_units = false;  // of the architecture that a test means
};
// What a test does to a pretended device's memory around a kernel's run.
struct EmulatedMemory {
  static inline void (*open)() = [] {};
  static inline void (*close)() = [] {};
};
#endif

// Whatever stream the caller made current is the one that kernels and memory of a call go to, so a
// call is ordered with the work around it (a backward pass, a reduction of gradients, a recording).
class DeviceScope {
 public:
  explicit DeviceScope(const at::Tensor& on) : guard_(on.device()) {
#if defined(SETUN_EMU)
    EmulatedMemory::open();
#endif
  }
  ~DeviceScope() {
#if defined(SETUN_EMU)
    EmulatedMemory::close();
#endif
  }
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;

  cudaStream_t stream() const {
    const c10::Device device = guard_.current_device();
    const c10::Stream current = c10::impl::VirtualGuardImpl(device.type()).getStream(device);
#if defined(SETUN_EMU)
    return reinterpret_cast<cudaStream_t>(current.id());
#else
    return c10::cuda::CUDAStream(current).stream();
#endif
  }

 private:
  c10::DeviceGuard guard_;
};

// Kernels read addresses: one on another device would be anything.
inline void check_same_device(const char* op, const at::Tensor& first,
                              std::initializer_list<std::optional<at::Tensor>> others) {
  for (const std::optional<at::Tensor>& t : others) {
    TORCH_CHECK(!t || !t->defined() || t->device() == first.device(), op,
                ": expected all tensors to be on the same device, but found ", first.device(),
                " and ", t->device());
  }
}

inline void check_launch(const char* op, cudaError_t error) {
  TORCH_CHECK(error == cudaSuccess, op,
              ": the CUDA kernel was not started: ", cudaGetErrorString(error));
}

// Contiguous fp32 or bf16, which kernels read; fp16 is widened.
inline at::Tensor kernel_input(const at::Tensor& x) {
  return (x.scalar_type() == at::kHalf ? x.to(at::kFloat) : x).contiguous();
}
inline at::Tensor as_fp32(const at::Tensor& x) { return x.to(at::kFloat).contiguous(); }

inline const float* data_or_null(const std::optional<at::Tensor>& tensor) {
  return tensor && tensor->defined() ? tensor->const_data_ptr<float>() : nullptr;
}

}  // namespace setun::ops::cuda
