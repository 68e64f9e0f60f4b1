// Typed C++ calls of Setun's operators. Schemas: ops/schemas.cpp (every m.def). Kernels: ops/cpu. Derivatives: ops/autograd.
// Rules: ops are functional, take any dense strided layout, and follow the canonical numerics of docs/numerics.md, so
// integer outputs are equal bit for bit on every path and thread count. A non-finite input makes its scale NaN.
#pragma once

#include <ATen/core/Tensor.h>

#include <tuple>

namespace setun::ops {

struct Codes {
  at::Tensor codes;  // int8
  at::Tensor scale;  // fp32; the dequantized value is codes * scale
};

// Per-token absmax (BitNet b1.58, 2402.17764 eq. 4; FAQ fig. 3), Qp = 2^(bits-1) - 1:
//   s = Qp / max(max|x|, eps); code = clip(rne(x * s), -Qp-1, Qp); the dequantized value is code / s.
// x_BTK float/bf16/half [..., K] -> codes [..., K] int8 and scale [..., 1] fp32 holding the MULTIPLIER s (divide by it).
Codes quantize_absmax(const at::Tensor& x, int64_t bits, double eps);

// Ternary absmean (2402.17764 eq. 1-3): a = max(mean|W|, eps); code = clip(rne(w * (1/a)), -1, 1); value = code * a.
// w_OI [O, I] -> codes [O, I]; scale: [1] for group_size 0 and rows false (tensor), [O, 1] (rows), [O, I/group] (groups).
Codes quantize_absmean(const at::Tensor& w, bool rows, int64_t group_size, double eps);

// codes / scale (absmax) in fp32, cast to `dtype`; scale [..., 1].
at::Tensor dequantize_absmax(const Codes& q, at::ScalarType dtype);
// codes * scale (absmean) in fp32, cast to `dtype`; tensor, row or group scale as above.
at::Tensor dequantize_absmean(const Codes& q, at::ScalarType dtype);

// x * g / sqrt(mean(x^2) + eps) over the last dim, fp32 inside, result in x's dtype. gain may be undefined (all ones).
// Differentiable (true derivative in ops/autograd/rms_norm.cpp).
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& gain, double eps);

}  // namespace setun::ops
