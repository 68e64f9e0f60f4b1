// Gradients of the quantizers that clip (quant/quantizers/clipped_activations.h): the
// straight-through estimator inside the range; what lies outside moves the range instead. Where x
// is NaN the value is NaN and no gradient passes.
#pragma once

#include <ATen/core/Tensor.h>

namespace setun {

// DoReFa (1606.06160): dx = G where 0 <= x <= 1, else 0.
at::Tensor dorefa_activation_ste(const at::Tensor& x, int64_t bits);

// PACT (1805.06085): dx = G where 0 <= x < alpha, else 0; dalpha = sum of G where x >= alpha.
at::Tensor pact_activation_ste(const at::Tensor& x, const at::Tensor& alpha, int64_t bits);

// LSQ+ (2004.09576), g = 1 / sqrt(features high): dx = G where low <= u <= high, else 0; ds = g sum
// G (low below, high above, rne(u) - u inside); dbeta = g sum of G outside. features: 0 means all
// elements of x.
at::Tensor lsq_plus_activation_ste(const at::Tensor& x, const at::Tensor& s, const at::Tensor& beta,
                                   int64_t low, int64_t high, int64_t features);

}  // namespace setun
