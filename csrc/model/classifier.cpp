// input -> (embedding bag, activation, dropout)? -> (linear, activation, dropout) x depth ->
// linear.
#include "model/classifier.h"

#include <ATen/ops/gelu.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/silu.h>

#include "base/counter_rng.h"
#include "base/error.h"
#include "model/classifier_table.h"
#include "nn/dropout.h"

namespace setun {
namespace {

at::Tensor activation_of(const at::Tensor& x, HiddenActivation kind) {
  switch (kind) {
    case HiddenActivation::kRelu:
      return at::relu(x);
    case HiddenActivation::kGelu:
      return at::gelu(x);
    case HiddenActivation::kSilu:
      return at::silu(x);
  }
  return x;
}

}  // namespace

ClassifierImpl::ClassifierImpl(const ModelOptions& options_in, at::ScalarType compute_in)
    : options(options_in), compute(compute_in) {
  const ClassifierOptions& sizes = options.classifier;
  if (options.kind == ModelKind::kBagOfWords) {
    embed = register_module("embed",
                            EmbeddingBag(options.vocab_size, sizes.widths.front(), sizes.bias));
  }
  hidden = register_module("hidden", torch::nn::ModuleList());
  const std::vector<LayerInfo> table = classifier_table(options);
  for (std::size_t i = 0; i < table.size(); ++i) {
    SETUN_ASSERT(table[i].in_features > 0 && table[i].out_features > 0, table[i].name,
                 " is not resolved");
    const BitLinear linear(
        BitLinearOptions{.in_features = table[i].in_features,
                         .out_features = table[i].out_features,
                         .layer = static_cast<int64_t>(i),
                         .own_norm = options.norm.placement == NormPlacement::kPerLinear,
                         .norm_kind = options.norm.kind,
                         .norm_gain = options.norm.gain,
                         .norm_eps = options.norm.eps,
                         .bias = sizes.bias,
                         .compute = compute});
    if (i + 1 < table.size()) {
      hidden->push_back(linear);
    } else {
      classifier = register_module("classifier", linear);
    }
  }
}

at::Tensor ClassifierImpl::activate(const at::Tensor& x, int64_t depth,
                                    std::optional<uint64_t> key) const {
  const at::Tensor y = activation_of(x, options.classifier.activation);
  return key ? dropout(y, options.classifier.dropout, random_key(*key, str("dropout.", depth))) : y;
}

at::Tensor ClassifierImpl::forward(const ClassifierInput& input, QuantContext& context,
                                   std::optional<uint64_t> dropout_key) {
  int64_t depth = 0;
  at::Tensor x = input.values_BF;
  if (embed) {
    x = activate(embed(input.words, input.weights, input.starts_B), depth++, dropout_key);
  }
  for (const auto& module : *hidden) {
    BitLinear linear(std::dynamic_pointer_cast<BitLinearImpl>(module));
    x = activate(linear(x, context), depth++, dropout_key);
  }
  return classifier(x, context);
}

}  // namespace setun
