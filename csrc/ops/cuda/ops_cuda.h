// The operators on CUDA tensors: the signatures of schemas.cpp, results equal to the CPU kernels'
// bit for bit (docs/numerics.md). register.cpp gives them to the dispatcher.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <tuple>

namespace setun::ops::cuda {

using TensorPair = std::tuple<at::Tensor, at::Tensor>;
using TensorTriple = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

// activations.cpp
TensorPair quantize_absmax(const at::Tensor& x, int64_t bits, double eps);
at::Tensor fake_quantize_absmax(const at::Tensor& x, int64_t bits, double eps);
TensorPair quantize_act_absmean(const at::Tensor& x, int64_t bits, double multiplier, double eps);
at::Tensor fake_quantize_act_absmean(const at::Tensor& x, int64_t bits, double multiplier,
                                     double eps);
TensorPair quantize_fp4(const at::Tensor& x);
at::Tensor fake_quantize_fp4(const at::Tensor& x);
at::Tensor round_e2m1(const at::Tensor& x);
TensorPair quantize_kv(const at::Tensor& h, int64_t bits, double eps);
at::Tensor fake_quantize_kv(const at::Tensor& h, int64_t bits, double eps);
TensorTriple quantize_kv_asymmetric(const at::Tensor& h, int64_t bits, double eps);
at::Tensor fake_quantize_kv_asymmetric(const at::Tensor& h, int64_t bits, double eps);
at::Tensor dequantize_absmax(const at::Tensor& codes, const at::Tensor& scale);

// weights.cpp
TensorPair quantize_absmean(const at::Tensor& w, int64_t group, double eps);
TensorPair quantize_absmedian(const at::Tensor& w, int64_t group, double eps);
TensorPair quantize_absmean_stochastic(const at::Tensor& w, const at::Tensor& u, int64_t group,
                                       double eps);
TensorPair quantize_binary(const at::Tensor& w, int64_t group);
at::Tensor dequantize_absmean(const at::Tensor& codes, const at::Tensor& scale);

// rows.cpp
at::Tensor hadamard(const at::Tensor& x, int64_t block);
at::Tensor topk_mask(const at::Tensor& x, int64_t k);
at::Tensor nm_mask(const at::Tensor& x, int64_t n, int64_t m);
TensorPair rms_norm_forward(const at::Tensor& x, const std::optional<at::Tensor>& gain, double eps);
TensorPair rms_norm_backward(const at::Tensor& grad, const at::Tensor& x,
                             const std::optional<at::Tensor>& gain, const at::Tensor& factor);
TensorPair layer_norm_forward(const at::Tensor& x, double eps);
at::Tensor layer_norm_backward(const at::Tensor& grad, const at::Tensor& y,
                               const at::Tensor& factor, at::ScalarType type);

}  // namespace setun::ops::cuda
