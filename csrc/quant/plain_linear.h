// Products of full-precision weights, as linear layers and heads make them: the one place that
// chooses between LibTorch's product and the operators for few rows. Training always takes
// LibTorch's.
#pragma once

#include <ATen/core/Tensor.h>

namespace setun {

// x W^T + bias in the weight's type, fp32 or bf16: x [..., I] of any float type, weight [O, I],
// bias [O] or undefined. Without gradients few rows of a bf16 product go through
// ops::few_rows_linear, as many as it is faster for.
at::Tensor plain_linear(const at::Tensor& x, const at::Tensor& weight_OI, const at::Tensor& bias);

}  // namespace setun
