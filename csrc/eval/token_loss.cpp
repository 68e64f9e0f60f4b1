#include "eval/token_loss.h"

#include "loss/linear_cross_entropy.h"

namespace setun {

TokenLoss token_loss(DecoderLM& model, QuantContext& context, const at::Tensor& tokens_BT,
                     const at::Tensor& targets_BT, const ForwardOptions& options) {
  const at::Tensor head_VD = model->plain_head(context);
  if (!head_VD.defined() || model->has_int8_head(context)) {
    return cross_entropy_sum(model->forward(tokens_BT, context, options), targets_BT);
  }
  return linear_cross_entropy_sum(model->hidden_states(tokens_BT, context, options), head_VD,
                                  targets_BT, model->compute);
}

}  // namespace setun
