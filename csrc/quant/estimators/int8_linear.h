// Linear layers whose three products run on int8 codes (torchao's quantized training): y = x w^T,
// dx = dy w, dw = dy^T x. Each is an autograd function with these products as its gradient.
#pragma once

#include <ATen/core/Tensor.h>

namespace setun {

// torchao's BitNet linear: x rounded to int8 with a scale max(max|x|, eps) / 127 a token, w to
// ternary absmean codes; y = codes codes^T s_x s_w; dx = (dy codes_w) s_w; dw = dy^T (codes_x s_x).
// x [M, K], w [N, K] -> fp32 [M, N].
at::Tensor torchao_bitnet_linear(const at::Tensor& x_MK, const at::Tensor& w_NK, double eps);

// All products by int8_product (quant/quantizers/int8.h): operands with a scale a row and a column.
// quantize_grad_weight false keeps dw in high precision (SwitchBack). x [M, K], w [N, K] -> fp32
// [M, N].
at::Tensor int8_mixed_linear(const at::Tensor& x_MK, const at::Tensor& w_NK,
                             bool quantize_grad_weight);

}  // namespace setun
