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

// As quantize_absmean with the lower median of |w|, element (n-1)/2 of the sorted magnitudes, in
// place of the mean (2407.09527 and its code).
Codes quantize_absmedian(const at::Tensor& w_OI, int64_t group, double eps);

// Stochastic ternary codes (2407.09527's code, strategy `sample`): a as in quantize_absmean, code =
// sign(w) where |w| * (1/a) >= u, else 0. u fp32 [O, I]: uniforms in [0, 1), say counter_uniform's.
Codes quantize_absmean_stochastic(const at::Tensor& w_OI, const at::Tensor& u_OI, int64_t group,
                                  double eps);

// Binary codes (BitNet, 2310.11453 eq. 1-3, 12-15): code = 1 where w > mean(w), else -1; scale =
// mean|w| of the uncentred weight, both of a group as in quantize_absmean; value = code * scale.
Codes quantize_binary(const at::Tensor& w_OI, int64_t group);

// fp32 [count] uniforms in [0, 1) of 24 random bits each: draw i is a function of (key, i) alone
// (base/counter_rng.h), so draws are equal on every machine and thread count. On the CPU.
at::Tensor counter_uniform(int64_t count, int64_t key);

// Per-token absmean (BitNet a4.8, 2411.04965 eq. 3; v2, 2504.18415 eq. 5-6), Qp = 2^(bits-1) - 1, b
// = multiplier * mean|x|:
//   s = sqrt(Qp) / (b + eps); code = clip(rne(x * s), -Qp-1, Qp); value = code * scale.
// bits 2..8; scale [..., 1] holds the STEP b / sqrt(Qp), 0 for a zero token.
Codes quantize_act_absmean(const at::Tensor& x, int64_t bits, double multiplier, double eps);
// quantize_act_absmean and the product in one pass: [..., K] in x's dtype. No derivative.
at::Tensor fake_quantize_act_absmean(const at::Tensor& x, int64_t bits, double multiplier,
                                     double eps);

// Per-token FP4 with the grid E2M1 (BitNet a4.8, 2411.04965 eq. 8-9), c = max|x|: code = 2 *
// E2M1(6x / c), an integer of {0, +-1, 2, 3, 4, 6, 8, 12}; value = code * scale. scale [..., 1]
// holds c / 12.
Codes quantize_fp4(const at::Tensor& x);
// quantize_fp4 and the product in one pass: [..., K] in x's dtype. No derivative.
at::Tensor fake_quantize_fp4(const at::Tensor& x);
// Every element to the nearest of {0, .5, 1, 1.5, 2, 3, 4, 6} with its sign; ties to the even
// mantissa, saturating, NaN stays. In x's dtype. No derivative.
at::Tensor round_e2m1(const at::Tensor& x);

// x times blockdiag(H, ..., H) over the last dimension, H the normalized Sylvester matrix of order
// `block` (2504.18415 section 2.1): symmetric and orthogonal, so applying it twice gives x. block:
// a power of two that divides K. x [..., K] fp32, bf16 or fp16 -> fp32 [..., K]. Differentiable
// (true derivative, any order: ops/autograd/hadamard.cpp).
at::Tensor hadamard(const at::Tensor& x, int64_t block);

// Marks the k largest |x| of every vector [..., K], equal ones by the lowest index (Q-Sparse,
// 2407.10969 eq. 1-4): bool [..., K]. NaN counts as larger than every number. k 1..K.
at::Tensor topk_mask(const at::Tensor& x, int64_t k);
// The same for the n largest of every m consecutive elements (Block Q-Sparse); m divides K.
at::Tensor nm_mask(const at::Tensor& x, int64_t n, int64_t m);
// A mask as bits, which a backward pass keeps in an eighth of the memory: bool [..., K] -> int32
// [..., ceil(K / 32)], bit i of a word is column i.
at::Tensor pack_mask(const at::Tensor& keep);
// x where a bit is set, else 0: x fp32 or bf16 [..., K], bits of pack_mask. No derivative.
at::Tensor apply_mask(const at::Tensor& x, const at::Tensor& bits);

// codes / scale, fp32; codes [..., K], scale [..., 1] as quantize_absmax returns them.
at::Tensor dequantize_absmax(const Codes& q);
// codes * scale, fp32; codes [O, I], scale [1, 1] or [O, I / group] as quantize_absmean and the
// other weight quantizers return them.
at::Tensor dequantize_absmean(const Codes& q);

// A vector of the key-value cache, symmetric (after BitNet a4.8, 2411.04965 section 3.1, and v2,
// 2504.18415 section 3.1, which give no formula), Qp = 2^(bits-1) - 1:
//   s = max(max|h|, eps) / Qp; code = clip(rne(h / s), -Qp-1, Qp); value = code * s.
// h [..., D] fp32, bf16 or fp16; bits 2..8 -> codes [..., D]; scale [..., 1] holds the STEP s. A
// cache stores code + 2^(bits-1).
Codes quantize_kv(const at::Tensor& h, int64_t bits, double eps);
// quantize_kv and the product in one pass: [..., D] in h's dtype. No derivative.
at::Tensor fake_quantize_kv(const at::Tensor& h, int64_t bits, double eps);

struct OffsetCodes {
  at::Tensor codes;    // uint8, of the input's shape
  at::Tensor scale;    // fp32, the step
  at::Tensor minimum;  // fp32
};

// The same vector by its own range (min-max), n = 2^bits - 1:
//   s = max(max h - min h, eps) / n; code = clip(rne((h - min h) / s), 0, n); value = min h + code
//   * s.
// bits 2..8; scale and minimum [..., 1]. A range beyond fp32 makes the scale NaN and the codes 0.
OffsetCodes quantize_kv_asymmetric(const at::Tensor& h, int64_t bits, double eps);
// Its value in one pass, in h's dtype. No derivative.
at::Tensor fake_quantize_kv_asymmetric(const at::Tensor& h, int64_t bits, double eps);

// x * g / sqrt(mean(x^2) + eps) over the last dim; fp32 inside and out. x fp32, bf16 or fp16; gain
// fp32 [K] or undefined (ones). Differentiable in x and gain (true derivative:
// ops/autograd/rms_norm.cpp).
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& gain, double eps);

struct RmsNormGradient {
  at::Tensor x, gain;  // gain [K], empty without a gain
};
// The derivative of rms_norm, for functions that fuse it: grad [..., K] fp32 or bf16, factor [...]
// or [..., 1] as the forward returned it. No derivative of its own.
RmsNormGradient rms_norm_backward(const at::Tensor& grad, const at::Tensor& x,
                                  const at::Tensor& gain, const at::Tensor& factor);

// (x - mean(x)) / sqrt(var(x) + eps) over the last dim, biased variance, no affine (BitNet,
// 2310.11453 section 2.1); fp32 inside and out. x fp32, bf16 or fp16. Differentiable in x (true
// derivative: ops/autograd/layer_norm.cpp).
at::Tensor layer_norm(const at::Tensor& x, double eps);

// Ternary codes at two bits each in the CPU's private layout (ops/cpu/ternary_layout.h), which
// products read directly. Not a file format.
struct PackedTernary {
  at::Tensor packed;  // uint8, one dimension
  int64_t rows = 0, columns = 0;
};

// codes int8 [O, I] of -1, 0, 1; others are refused.
PackedTernary pack_ternary(const at::Tensor& codes_OI);
// The codes [O, I] as int8, fp32 or bf16.
at::Tensor unpack_ternary(const PackedTernary& w, at::ScalarType dtype);
// The packed transpose [I, O], for products with W^T.
PackedTernary transpose_ternary(const PackedTernary& w);

struct PackedWeight {
  PackedTernary codes;
  at::Tensor scale;   // fp32 [1, 1] or [O, I / group], as quantize_absmean
  at::Tensor counts;  // int64 [3]: codes -1, 0, 1
};

// quantize_absmean and pack_ternary in one: the same codes and scale bit for bit, without an int8
// tensor between. w_OI fp32, bf16 or fp16 [O, I] is read once for the means and once for the codes.
PackedWeight quantize_pack_absmean(const at::Tensor& w_OI, int64_t group, double eps);
// The codes clip(rne(w * (1 / scale)), -1, 1) for a scale that is already known (and already at
// least eps): fp32 [1, 1] or [O, G]. The result holds the scale given.
PackedWeight quantize_pack_scaled(const at::Tensor& w_OI, const at::Tensor& scale);

struct RowCodes {
  at::Tensor codes;     // int8 [..., K]
  at::Tensor scale;     // fp32 [..., 1]: the MULTIPLIER s, value = code / s
  at::Tensor row_sums;  // int32 [...]: the sum of a row's codes
};

// quantize_absmax with the sums that ternary_linear wants.
RowCodes quantize_absmax_rows(const at::Tensor& x, int64_t bits, double eps);

struct NormedRowCodes {
  RowCodes rows;
  at::Tensor factor;  // fp32 [..., 1]: 1 / sqrt(mean(x^2) + norm_eps), for the norm's backward
};

// quantize_absmax_rows(hadamard(rms_norm(x, gain, norm_eps), hadamard_block), bits, eps) in one
// pass over x, the same codes bit for bit. gain fp32 [K] or undefined (ones); hadamard_block 0:
// no rotation. No derivative.
NormedRowCodes rms_norm_quantize(const at::Tensor& x, const at::Tensor& gain, double norm_eps,
                                 int64_t bits, double eps, int64_t hadamard_block);

// 8-bit codes of an upstream gradient, one scale a token: s = 127 / max(max|dy|, 1e-30).
//   nearest:     code = clip(rne(dy * s), -128, 127), an error of at most 1 / (2 s), biased;
//   stochastic:  code = clip(floor(dy * s + u), -128, 127) with u draw i of the key for element i
//                of the flattened dy: unbiased to the 2^-17 by which fp32 rounds dy * s + u, an
//                error below 1 / s.
// dy [..., N] fp32, bf16 or fp16.
RowCodes quantize_gradient_rows(const at::Tensor& dy, bool stochastic, int64_t key);

// 4-bit codes -8..7, two a byte (the even index in the low nibble): int8 [..., K] -> uint8 [...,
// (K + 1) / 2], and back. Codes outside the range are taken modulo 16.
at::Tensor pack_int4(const at::Tensor& codes);
at::Tensor unpack_int4(const at::Tensor& packed, int64_t columns);

// y = x W^T of integer codes: codes int8 [..., K], or uint8 [..., (K + 1) / 2] of pack_int4; scale
// [..., 1] and row_sums [...] as the quantizers above return them; w [O, K] packed; w_scale fp32
// [1, 1], [O, 1] or [O, G]. The sums of products are exact 32-bit integers, per group when G > 1:
//   y = acc * (w_scale / s), or for G > 1 (sum over g of acc_g * w_scale_g) * (1 / s),
// plus residual [..., O] (fp32 or bf16, or undefined), rounded to dtype fp32 or bf16: [..., O].
// Equal for any number of threads. Up to 16 rows read the packed weights directly. No derivative.
at::Tensor ternary_linear(const RowCodes& x, const PackedTernary& w, const at::Tensor& w_scale,
                          at::ScalarType dtype, const at::Tensor& residual = {});

}  // namespace setun::ops
