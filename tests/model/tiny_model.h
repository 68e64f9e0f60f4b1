// Small models and quantization contexts for the model tests.
#pragma once

#include <ATen/ATen.h>

#include "loss/cross_entropy.h"
#include "model/decoder_lm.h"
#include "model/layer_table.h"
#include "quant/quant_context.h"

namespace setun::test {

inline ModelOptions tiny_options() {
  return {.vocab_size = 41,
          .hidden = 32,
          .layers = 2,
          .heads = 4,
          .kv_heads = 2,
          .ffn = 48,
          .max_context = 64};
}

// Every placement of norms but `none`, which is of classifiers, with its name.
inline std::vector<std::pair<NormPlacement, std::string_view>> decoder_placements() {
  const auto& table = EnumNames<NormPlacement>::table;
  std::vector<std::pair<NormPlacement, std::string_view>> placements(table.begin(), table.end());
  std::erase_if(placements, [](const auto& row) { return row.first == NormPlacement::kNone; });
  return placements;
}

// The second block of tiny_options with five experts, two of them active.
inline ModelOptions tiny_mixture(int64_t heads) {
  ModelOptions options = tiny_options();
  options.moe = {.experts = 5, .active = 2, .heads = heads, .expert_ffn = 24};
  return options;
}

inline LinearSpec ternary_spec() {
  LinearSpec spec;
  spec.weight.scheme = WeightScheme::kAbsmean;
  spec.activation.scheme = ActivationScheme::kAbsmax;
  return spec;
}

// One phase; `spec` inside the blocks, full precision in the head and in routers.
inline QuantPlan uniform_plan(const ModelOptions& options, const LinearSpec& spec,
                              const AttentionQuantOptions& attention = {}) {
  QuantPlan plan{.layers = layer_table(options), .phases = {{}}, .attention = attention};
  for (const LayerInfo& layer : plan.layers) {
    plan.phases[0].specs.push_back(only_by_name(layer.role) ? LinearSpec{} : spec);
  }
  return plan;
}

struct TinyModel {
  explicit TinyModel(const ModelOptions& options, const LinearSpec& spec = {}, uint64_t seed = 1,
                     at::ScalarType compute = at::kFloat,
                     const AttentionQuantOptions& attention = {})
      : model(options, compute), context(uniform_plan(options, spec, attention)) {
    initialise(model, seed);
    context.begin_step({});
  }
  at::Tensor logits(const at::Tensor& tokens_BT, const ForwardOptions& options = {}) {
    return model->forward(tokens_BT, context, options);
  }
  // Forward, backward and estimators; gradients end in the parameters. Returns the summed loss.
  double backward(const at::Tensor& tokens_BT, const at::Tensor& targets_BT,
                  const ForwardOptions& options = {}) {
    const TokenLoss loss = cross_entropy_sum(logits(tokens_BT, options), targets_BT);
    loss.sum.backward();
    context.backward_to_latents();
    return loss.sum.item<double>();
  }

  DecoderLM model;
  QuantContext context;
};

inline at::Tensor random_tokens(at::IntArrayRef shape, int64_t vocab, uint64_t seed = 7) {
  return at::randint(vocab, shape, at::detail::createCPUGenerator(seed), at::kLong);
}

inline double max_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

}  // namespace setun::test
