// The sum of the weighted embeddings of a bag's words: a linear layer on a sparse count vector, in
// full precision, whose input is never made dense.
#pragma once

#include "nn/torch_module.h"

namespace setun {

struct EmbeddingBagImpl : torch::nn::Module {
  EmbeddingBagImpl(int64_t vocab_size, int64_t width, bool bias);
  // words int64 and weights fp32 of all bags, one behind the other; starts_B int64: where each bag
  // begins -> fp32 [B, width]. A bag without words gives the bias.
  at::Tensor forward(const at::Tensor& words, const at::Tensor& weights,
                     const at::Tensor& starts_B);

  at::Tensor weight;  // fp32 [vocab_size, width]
  at::Tensor bias;    // fp32 [width]; undefined without bias
};
TORCH_MODULE(EmbeddingBag);

}  // namespace setun
