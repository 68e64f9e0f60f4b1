// Activation quantizers that clip to a range of their own: DoReFa (1606.06160 section 2.4), PACT
// (1805.06085), LSQ+ (2004.09576). Forward only, in fp32 (double stays double); gradients:
// quant/estimators/clipped_activations.h. NaN stays NaN, infinities are clipped. Results have x's
// type.
#pragma once

#include <ATen/core/Tensor.h>

namespace setun {

// rne(n clip(x, 0, 1)) / n with n = 2^bits - 1.
at::Tensor dorefa_activation(const at::Tensor& x, int64_t bits);

// rne(clip(x, 0, alpha) n / alpha) alpha / n with n = 2^bits - 1; alpha one positive number.
at::Tensor pact_activation(const at::Tensor& x, const at::Tensor& alpha, int64_t bits);

struct LsqPlus {
  at::Tensor u;      // (x - beta) / s, fp32 or double
  at::Tensor value;  // s clip(rne(u), low, high) + beta
};

// s (positive) and beta: one number each. low and high: the range of codes.
LsqPlus lsq_plus_activation(const at::Tensor& x, const at::Tensor& s, const at::Tensor& beta,
                            int64_t low, int64_t high);

}  // namespace setun
