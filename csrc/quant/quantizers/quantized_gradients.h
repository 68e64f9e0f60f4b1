// Quantizers of gradients, for methods that compute the backward pass in few bits: DoReFa
// (1606.06160 eq. 12) and the INT4 scheme with a learned clip share (ECCV 2024, LBT). Random draws
// are arguments. No gradients. A zero tensor gives zeros.
#pragma once

#include <ATen/core/Tensor.h>

namespace setun {

// Per sample (first dimension) m = max|g|: 2 m (q(clip(g / (2 m) + 1/2 + u / n, 0, 1)) - 1/2) with
// n = 2^bits - 1, q(y) = rne(n y) / n. u in (-1/2, 1/2), of g's shape. fp32.
at::Tensor dorefa_gradient(const at::Tensor& g, const at::Tensor& u, int64_t bits);

struct LbtGradient {
  at::Tensor codes;       // int8
  at::Tensor value;       // fp32
  at::Tensor kappa_next;  // one fp64 number
};

// c = kappa max|g|; step = 2 c / (2^bits - 2); codes = floor(clip(g, -c, c) / step + u), clipped to
// +-(2^(bits-1) - 1); value = step codes; kappa_next = clip(kappa + 0.001 sign(share of |g| > c -
// 1e-3 / (2^bits - 1)), 0.001, 1). kappa in (0, 1]; u in [0, 1), of g's shape; bits 2..8.
LbtGradient lbt_gradient(const at::Tensor& g, const at::Tensor& u, double kappa, int64_t bits);

}  // namespace setun
