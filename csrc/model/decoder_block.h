// One decoder block: norm -> attention -> residual, norm -> gated FFN or mixture of experts ->
// residual, with the norm placements of model_options.h. KvCache holds the keys and values of
// generation.
#pragma once

#include <vector>

#include "model/model_options.h"
#include "nn/attention.h"
#include "nn/feed_forward.h"
#include "nn/mixture_of_experts.h"
#include "nn/norm.h"
#include "nn/torch_module.h"

namespace setun {

struct BlockOutput {
  at::Tensor x_BTD;
  // Of a mixture (nn/routing.h); undefined in a dense block.
  at::Tensor balance;
  at::Tensor counts_E;
};

struct DecoderBlockImpl : torch::nn::Module {
  DecoderBlockImpl(const ModelOptions& options, int64_t block, int64_t first_layer,
                   at::ScalarType compute);
  BlockOutput forward(const at::Tensor& x_BTD, QuantContext& context,
                      const AttentionInputs& inputs);

  Norm attn_norm{nullptr};  // null with placement per_linear
  Attention attn{nullptr};
  Norm ffn_norm{nullptr};
  FeedForward ffn{nullptr};           // null in a block with experts
  MixtureOfExperts mixture{nullptr};  // registered as "ffn"; null in a dense block
};
TORCH_MODULE(DecoderBlock);

}  // namespace setun
