// The two activation forms of BitNet b1 (2310.11453 eq. 4-6), which scale and clip but do not
// round. Kept for fidelity: the later 8-bit absmax quantizer replaces them in every newer method.
#pragma once

#include <ATen/core/Tensor.h>

namespace setun {

struct B1Activation {
  at::Tensor levels;  // fp32, x's shape: plain in [-Qb + eps, Qb - eps], shifted in [eps, Qb - eps]
  at::Tensor step;    // fp32, gamma / Qb: value = levels * step + shift
  at::Tensor shift;   // fp32: min x of the shifted form; undefined for the plain one
};

// gamma = max|x|, Qb = 2^(bits-1), over the last dimension or the whole tensor:
//   plain    levels = clip(x Qb / gamma, -Qb + eps, Qb - eps)
//   shifted  levels = clip((x - min x) Qb / gamma, eps, Qb - eps)     (inputs of nonlinearities)
// x [..., K]. A vector of zeros has levels 0 (shifted: eps) and step 0. No gradient.
B1Activation quantize_b1(const at::Tensor& x, int64_t bits, double eps, bool shifted,
                         bool whole_tensor);

at::Tensor dequantize_b1(const B1Activation& q);

}  // namespace setun
