// The loss of a language model on a batch, through the cheapest path its head allows.
#pragma once

#include "loss/cross_entropy.h"
#include "model/decoder_lm.h"

namespace setun {

// cross_entropy_sum of the model's logits on tokens_BT for targets_BT, differentiable. A plain head
// (DecoderLM::plain_head) is fused with the loss and its logits are never all in memory; with any
// other, 8-bit ones included, they are.
TokenLoss token_loss(DecoderLM& model, QuantContext& context, const at::Tensor& tokens_BT,
                     const at::Tensor& targets_BT, const ForwardOptions& options);

}  // namespace setun
