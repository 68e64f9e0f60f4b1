// Low-bit attention: fake quantization of heads after the rotation, one scale per token and head
// (the papers say absmax, unsigned integers, no calibration; the formulas are ours):
//   symmetric:  s = max(max|h|, eps) / (2^(b-1) - 1), code = clip(rne(h / s)), value = code * s
//   asymmetric: s = max(max h - min h, eps) / (2^b - 1), code = rne((h - min) / s),
//               value = min + code * s
// A packed cache is not made: generation keeps the dequantized values, which are the same numbers.
#pragma once

#include <ATen/core/Tensor.h>

#include "quant/attention_quant_options.h"

namespace setun {

// Heads [B, heads, T, head_dim], fp32 or compute dtype, at `bits`, which is one of the options'
// key_bits, value_bits and query_bits; the straight-through estimator is its derivative. Rows of
// first_BT (bool [B or 1, T]; undefined: none) take options.first_token_bits. The same tensor when
// bits is 0.
at::Tensor fake_quantize_heads(const at::Tensor& x_BHTD, int64_t bits, const at::Tensor& first_BT,
                               const AttentionQuantOptions& options);

}  // namespace setun
