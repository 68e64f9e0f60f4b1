// A feed-forward classifier on rows of numbers (mlp) or bags of words (bag_of_words: the WideMLP of
// 2109.03777, a sum of weighted embeddings in front). Architecture only. Parameter names:
// embed.{weight,bias}, hidden.N.{weight,bias,norm.weight}, classifier.{weight,bias,norm.weight}.
#pragma once

#include <torch/nn/modules/container/modulelist.h>

#include <optional>

#include "model/model_options.h"
#include "nn/bit_linear.h"
#include "nn/embedding_bag.h"
#include "quant/quant_context.h"

namespace setun {

// Rows of numbers, or bags of words.
struct ClassifierInput {
  at::Tensor values_BF;  // fp32
  at::Tensor words;      // int64, of all bags, one behind the other
  at::Tensor weights;    // fp32, of each word
  at::Tensor starts_B;   // int64: where each bag begins in words
};

struct ClassifierImpl : torch::nn::Module {
  // Parameters are allocated, not drawn: see initialise(). Features or vocabulary, and classes,
  // must be resolved.
  ClassifierImpl(const ModelOptions& options, at::ScalarType compute);
  // -> logits [B, classes] in the compute dtype. Absent `dropout_key`: evaluation, nothing is
  // dropped.
  at::Tensor forward(const ClassifierInput& input, QuantContext& context,
                     std::optional<uint64_t> dropout_key);

  // Where the parameters are; inputs must be there too.
  at::Device device() const { return classifier->weight.device(); }

  ModelOptions options;
  at::ScalarType compute;
  EmbeddingBag embed{nullptr};  // null for rows of numbers
  torch::nn::ModuleList hidden{nullptr};
  BitLinear classifier{nullptr};

 private:
  at::Tensor activate(const at::Tensor& x, int64_t depth, std::optional<uint64_t> key) const;
};
TORCH_MODULE(Classifier);

// Draws every matrix from (seed, parameter name) alone; biases are 0, gains 1.
void initialise(Classifier& model, uint64_t seed);

}  // namespace setun
