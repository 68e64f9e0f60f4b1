// 8-bit quantizers beside the per-token one: stochastic rows, square blocks, and the product of two
// int8 operands with a scale a row and a scale a column. A scale is max / 127 without a floor;
// where it is 0 the codes are 0. No gradients.
#pragma once

#include <ATen/core/Tensor.h>

namespace setun {

struct ScaledCodes {
  at::Tensor codes;  // int8
  at::Tensor scale;  // fp32: the step
  at::Tensor value;  // fp32: codes times scale
};

// torchao's stochastic rows: s = max|w| / 127 of a row; codes = clip(floor(w / s + u), -128, 127).
// w [O, I], u fp32 [O, I] in [0, 1) -> scale [O, 1].
ScaledCodes int8_row_stochastic(const at::Tensor& w_OI, const at::Tensor& u_OI);

// Jetfire (2403.12422): s = max|tile| / 127 of every block x block tile; codes = rne(x / s). x [R,
// C], block divides both -> scale [R / block, C / block].
ScaledCodes int8_blockwise(const at::Tensor& x, int64_t block);

// a [M, K] times b [K, N], each rounded to int8 first: a with a scale max|row| / 127, b with
// max|column| / 127; the sums of products are exact. fp32 [M, N].
at::Tensor int8_product(const at::Tensor& a_MK, const at::Tensor& b_KN);

// codes [M, K] times codes [K, N] without rounding, as fp64.
at::Tensor code_product(const at::Tensor& a_MK, const at::Tensor& b_KN);

}  // namespace setun
