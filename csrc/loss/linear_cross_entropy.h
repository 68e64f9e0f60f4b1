// Next-token cross-entropy fused with a full-precision head: the tokens x vocabulary matrix is made
// and used up in chunks of rows (base/head_chunk.h), logits and their gradient in one buffer.
// Deliberately absent: a quantized head or one with a bias (go through logits and
// cross_entropy_sum), and a second backward through one loss.
#pragma once

#include "loss/cross_entropy.h"

namespace setun {

// cross_entropy_sum(hidden weight^T, targets) with the product in `compute` (fp32 or bf16) and the
// softmax in fp32. hidden_BTD fp32 or bf16, weight_VD fp32, targets_BT int64 or kIgnoreTarget.
// Differentiable in hidden and weight: with gradients on, the forward pass computes both, weight's
// accumulated over chunks in fp32, and backward scales them. Throws Error when backward runs twice.
TokenLoss linear_cross_entropy_sum(const at::Tensor& hidden_BTD, const at::Tensor& weight_VD,
                                   const at::Tensor& targets_BT, at::ScalarType compute);

}  // namespace setun
