// Names, shapes and sizes of a model from its options. The constructors in decoder_lm.cpp assert
// that they build the same.
#include "model/layer_table.h"

#include <algorithm>

#include "model/classifier_table.h"

namespace setun {
namespace {

constexpr double kFp32Bytes = 4;
constexpr double kOptimizerBytes = 16;  // parameter, gradient and both moments, fp32
constexpr double kCodeBytes = 1;

struct Widths {
  int64_t hidden, query, key_value, ffn;
  explicit Widths(const ModelOptions& options)
      : hidden(options.hidden),
        query(options.heads * options.resolved_head_dim()),
        key_value(options.resolved_kv_heads() * options.resolved_head_dim()),
        ffn(options.ffn) {}
};

int64_t gain_parameters(const ModelOptions& options, const std::vector<LayerInfo>& layers) {
  if (!options.norm.gain) {
    return 0;
  }
  const Widths widths(options);
  const NormPlacement placement = options.norm.placement;
  int64_t gains = widths.hidden;  // the final norm
  if (placement != NormPlacement::kPerLinear) {
    gains += options.layers * 2 * widths.hidden;
  }
  if (placement == NormPlacement::kSubln) {
    gains += options.layers * (widths.query + widths.ffn);
  }
  if (placement == NormPlacement::kPerLinear || placement == NormPlacement::kPreNormPerLinear) {
    for (const LayerInfo& layer : layers) {
      gains += layer.block < 0 ? 0 : layer.in_features;
    }
  }
  return gains;
}

int64_t scale_count(const LayerInfo& layer, const WeightQuantSpec& spec) {
  switch (spec.granularity) {
    case Granularity::kTensor:
    case Granularity::kToken:
      return 1;
    case Granularity::kRow:
      return layer.out_features;
    case Granularity::kPart:
      return spec.parts;
    case Granularity::kGroup:
      return layer.out_features * layer.in_features / std::max<int64_t>(1, spec.group_size);
  }
  return 1;
}

// Floats per token that one block keeps for backward: inputs of norms and products, q, k, v, the
// attention result, gate, up and their product. A quantized activation is a tensor of its own for
// each linear that reads it.
double kept_per_token(const ModelOptions& options, const std::vector<LinearSpec>& specs) {
  const Widths widths(options);
  const bool quantized =
      !specs.empty() && specs.front().changes_input();
  const NormPlacement placement = options.norm.placement;
  const bool own_norms =
      placement == NormPlacement::kPerLinear || placement == NormPlacement::kPreNormPerLinear;
  const int64_t shared_inputs =
      quantized || own_norms ? 5 : 2;  // q, k, v, gate, up or their two norms
  int64_t floats = (2 + shared_inputs) * widths.hidden;
  floats += 2 * widths.query + 2 * widths.key_value;  // q, attention result; k, v
  floats += 3 * widths.ffn;                           // gate, up, product
  if (quantized || own_norms || placement == NormPlacement::kSubln) {
    floats += widths.query + widths.ffn;  // inputs of o and down after norm and quantizer
  }
  return static_cast<double>(floats);
}

// The peak is at the start of backward, with everything kept and the logits' gradient, or, with
// recomputation, maybe later, in a block: the logits are gone by then.
double activation_bytes(const ModelOptions& options, const std::vector<LinearSpec>& specs,
                        int64_t batch, int64_t context, bool recompute_blocks) {
  const double tokens = static_cast<double>(batch) * static_cast<double>(context);
  const double block = kept_per_token(options, specs);
  const auto layers = static_cast<double>(options.layers);
  const auto hidden = static_cast<double>(options.hidden);
  const double at_logits = 3 * hidden + 2 * static_cast<double>(options.vocab_size);
  const double in_block = 2 * static_cast<double>(options.ffn);  // gradients under way
  const double blocks = recompute_blocks ? layers * hidden + std::max(block + in_block, at_logits)
                                         : layers * block + std::max(in_block, at_logits);
  return kFp32Bytes * tokens * blocks;
}

}  // namespace

std::vector<LayerInfo> layer_table(const ModelOptions& options) {
  if (options.classifies()) {
    return classifier_table(options);
  }
  const Widths widths(options);
  std::vector<LayerInfo> layers;
  for (int64_t block = 0; block < options.layers; ++block) {
    const auto add = [&](const char* name, Role role, int64_t out, int64_t in) {
      layers.push_back({str("blocks.", block, ".", name), role, block, out, in});
    };
    add("attn.q", Role::kQkv, widths.query, widths.hidden);
    add("attn.k", Role::kQkv, widths.key_value, widths.hidden);
    add("attn.v", Role::kQkv, widths.key_value, widths.hidden);
    add("attn.o", Role::kO, widths.hidden, widths.query);
    add("ffn.gate", Role::kGateUp, widths.ffn, widths.hidden);
    add("ffn.up", Role::kGateUp, widths.ffn, widths.hidden);
    add("ffn.down", Role::kDown, widths.hidden, widths.ffn);
  }
  if (!options.tied_embeddings) {
    layers.push_back({"head", Role::kHead, -1, options.vocab_size, widths.hidden});
  }
  return layers;
}

SizeEstimate size_of_layers(const QuantPlan& plan, int64_t embedding, int64_t vectors,
                            double activation_bytes) {
  constexpr double kPlainBytes = 2;  // what has no quantizer ships as bf16
  const std::vector<LayerInfo>& layers = plan.layers;
  const std::vector<LinearSpec>& specs = plan.phases.back().specs;
  SizeEstimate size;
  size.embedding_parameters = embedding;
  size.parameters = embedding + vectors;
  double scale_bytes = 0, kept_latents = 0, code_bytes = 0;
  for (size_t i = 0; i < layers.size(); ++i) {
    const int64_t weights = layers[i].out_features * layers[i].in_features;
    size.parameters += weights;
    if (specs[i].weight.storage == WeightStorage::kProjected) {
      kept_latents += static_cast<double>(weights);
    }
    if (specs[i].weight.scheme != WeightScheme::kNone) {
      size.quantized_parameters += weights;
      code_bytes += static_cast<double>(weights) * stored_bits(specs[i].weight) / 8;
      scale_bytes += kFp32Bytes * static_cast<double>(scale_count(layers[i], specs[i].weight));
    }
  }
  const auto quantized = static_cast<double>(size.quantized_parameters);
  const auto all = static_cast<double>(size.parameters);
  size.packed_bytes = code_bytes + scale_bytes + kPlainBytes * (all - quantized);
  size.training_bytes = kOptimizerBytes * all + (kFp32Bytes + kCodeBytes) * quantized +
                        kFp32Bytes * kept_latents + activation_bytes;
  return size;
}

SizeEstimate estimate_size(const ModelOptions& options, const QuantPlan& plan, int64_t batch,
                           int64_t context, bool recompute_blocks) {
  const std::vector<LayerInfo> layers = layer_table(options);
  SETUN_ASSERT(plan.layers.size() == layers.size(), "plan of another model");
  if (options.classifies()) {
    return classifier_size(options, plan, batch);
  }
  return size_of_layers(
      plan, options.vocab_size * options.hidden, gain_parameters(options, layers),
      activation_bytes(options, plan.phases.back().specs, batch, context, recompute_blocks));
}

int64_t kv_cache_bytes(const ModelOptions& options, const AttentionQuantOptions& attention) {
  const int64_t dim = options.resolved_head_dim();
  const int64_t fp32_per_head = attention.scheme == HeadScheme::kAsymmetric ? 2 : 1;
  const auto head_bytes = [&](int64_t bits) {
    return bits == 0 ? 2 * dim : (dim * bits + 7) / 8 + 4 * fp32_per_head;
  };
  return options.layers * options.resolved_kv_heads() *
         (head_bytes(attention.key_bits) + head_bytes(attention.value_bits));
}

}  // namespace setun
