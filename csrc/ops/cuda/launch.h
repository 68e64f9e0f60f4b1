// How an operator's glue reaches a kernel of cuda/: the tensor's device is made current, the kernel
// goes to its current stream, and an error names the operator. With SETUN_EMU the kernels run on
// the emulator, on tensors in host memory, so that the glue can be tested without a GPU.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include "cuda/runtime.h"
#if !defined(SETUN_EMU)
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#endif

namespace setun::ops::cuda {

class DeviceScope {
 public:
#if defined(SETUN_EMU)
  explicit DeviceScope(const at::Tensor&) {}
  cudaStream_t stream() const { return nullptr; }
#else
  explicit DeviceScope(const at::Tensor& on) : guard_(on.device()) {}
  cudaStream_t stream() const { return c10::cuda::getCurrentCUDAStream(); }

 private:
  c10::cuda::CUDAGuard guard_;
#endif
};

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
