// Typed C++ calls of Setun's operators. Schemas: ops/schemas.cpp (every m.def). Kernels: ops/cpu.
// Derivatives: ops/autograd. Rules: ops are functional, take any strided layout, and follow the
// canonical numerics of docs/numerics.md, so integer outputs are equal bit for bit on every path
// and thread count. A non-finite input makes its scale NaN and its codes 0.
#pragma once

#include <ATen/core/Tensor.h>

namespace setun::ops {

struct Codes {
  at::Tensor codes;  // int8, of the input's shape
  at::Tensor scale;  // fp32
};

// Per-token absmax (BitNet b1.58, 2402.17764 eq. 4; FAQ fig. 3), Qp = 2^(bits-1) - 1:
//   s = Qp / max(max|x|, eps); code = clip(rne(x * s), -Qp-1, Qp); the dequantized value is code /
//   s.
// x [..., K] fp32, bf16 or fp16; bits 2..8 -> codes [..., K]; scale [..., 1] holds the MULTIPLIER s
// (divide by it).
Codes quantize_absmax(const at::Tensor& x, int64_t bits, double eps);

// quantize_absmax and the division in one pass over x: the dequantized tensor, [..., K] in x's
// dtype, without the codes. No derivative: estimators decide that (quant/estimators).
at::Tensor fake_quantize_absmax(const at::Tensor& x, int64_t bits, double eps);

// Ternary absmean (2402.17764 eq. 1-3): a = max(mean|W|, eps); code = clip(rne(w * (1/a)), -1, 1);
// value = code * a. One scale per `group` consecutive columns of a row: group 0 means one scale for
// the whole tensor, group I one per row. w_OI fp32, bf16 or fp16 [O, I] -> codes [O, I]; scale [1,
// 1] (group 0) or [O, I / group].
Codes quantize_absmean(const at::Tensor& w_OI, int64_t group, double eps);

// codes / scale, fp32; codes [..., K], scale [..., 1] as quantize_absmax returns them.
at::Tensor dequantize_absmax(const Codes& q);
// codes * scale, fp32; codes [O, I], scale [1, 1] or [O, I / group] as quantize_absmean returns
// them.
at::Tensor dequantize_absmean(const Codes& q);

// x * g / sqrt(mean(x^2) + eps) over the last dim; fp32 inside and out. x fp32, bf16 or fp16; gain
// fp32 [K] or undefined (ones). Differentiable in x and gain (true derivative:
// ops/autograd/rms_norm.cpp).
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& gain, double eps);

// (x - mean(x)) / sqrt(var(x) + eps) over the last dim, biased variance, no affine (BitNet,
// 2310.11453 section 2.1); fp32 inside and out. x fp32, bf16 or fp16. Differentiable in x (true
// derivative: ops/autograd/layer_norm.cpp).
at::Tensor layer_norm(const at::Tensor& x, double eps);

}  // namespace setun::ops
