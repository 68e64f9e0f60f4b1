// Names, shapes and sizes of a model from its options. The constructors in decoder_lm.cpp assert
// that they build the same.
#include "model/layer_table.h"

#include <algorithm>

#include "base/head_chunk.h"
#include "model/classifier_table.h"

namespace setun {
namespace {

constexpr double kFp32Bytes = 4;
constexpr double kOptimizerBytes = 16;  // parameter, gradient and both moments, fp32
constexpr double kCodeBytes = 1;
constexpr double kPackedBytes = 0.25;

struct Widths {
  int64_t hidden, query, key_value, ffn;
  explicit Widths(const ModelOptions& options)
      : hidden(options.hidden),
        query(options.heads * options.resolved_head_dim()),
        key_value(options.resolved_kv_heads() * options.resolved_head_dim()),
        ffn(options.ffn) {}
};

// Features of the norms before every expert's down and before merge.
int64_t mixture_sub_norms(const ModelOptions& options) {
  return options.moe.experts * options.resolved_expert_ffn() +
         (options.moe.heads > 1 ? options.hidden : 0);
}

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
    for (int64_t block = 0; block < options.layers; ++block) {
      gains +=
          widths.query + (options.has_experts(block) ? mixture_sub_norms(options) : widths.ffn);
    }
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

// How norms and quantizers multiply the tensors that are kept. Simulated products keep a quantized
// input as floats for each linear that reads it; integer ones keep its codes, a quarter of a float.
struct Copies {
  bool quantized, integer, own_norms, sub_norms;
  Copies(const ModelOptions& options, const std::vector<LinearSpec>& specs, Products products)
      : quantized(!specs.empty() && specs.front().changes_input()),
        integer(quantized && products == Products::kInteger && specs.front().has_integer_form()),
        own_norms(options.norm.placement == NormPlacement::kPerLinear ||
                  options.norm.placement == NormPlacement::kPreNormPerLinear),
        sub_norms(own_norms || options.norm.placement == NormPlacement::kSubln) {}

  static constexpr double kCodes = 0.25;
  // Of a tensor that `readers` linears read, itself included.
  double inputs(int64_t readers) const {
    const auto count = static_cast<double>(readers);
    if (integer) {
      return 1 + kCodes * (own_norms ? count : 1);
    }
    return quantized || own_norms ? 1 + count : 2;
  }
  // Of a tensor behind a sub-norm, read by one linear, beyond what made it keeps.
  double behind_sub_norm() const { return integer ? kCodes : (quantized || sub_norms ? 1 : 0); }
};

// Floats per token that attention keeps for backward: its input, q, k, v, the result, the input of
// o.
double kept_by_attention(const ModelOptions& options, const Copies& copies) {
  const Widths widths(options);
  return copies.inputs(3) * static_cast<double>(widths.hidden) +
         static_cast<double>(2 * widths.query + 2 * widths.key_value) +
         copies.behind_sub_norm() * static_cast<double>(widths.query);
}

// Of a gated unit of this width: gate, up, and their product unless backward makes it again.
double kept_by_gate(int64_t ffn, const Copies& copies) {
  const double product = copies.integer ? 0 : 1;
  return (2 + product + copies.behind_sub_norm()) * static_cast<double>(ffn);
}

double kept_by_ffn(const ModelOptions& options, const Copies& copies) {
  return copies.inputs(2) * static_cast<double>(options.hidden) + kept_by_gate(options.ffn, copies);
}

// Of a mixture: the same of every choice, with the results that gates multiply, the probabilities,
// and what the projections around the experts read.
double kept_by_mixture(const ModelOptions& options, const Copies& copies) {
  const MoeOptions& moe = options.moe;
  const auto hidden = static_cast<double>(options.hidden), heads = static_cast<double>(moe.heads);
  const double inputs = copies.integer
                            ? (copies.own_norms ? 1 + 2 * Copies::kCodes : Copies::kCodes)
                        : copies.own_norms ? 3
                        : copies.quantized ? 2
                                           : 1;
  const double choice =
      (inputs + 1) * hidden / heads + kept_by_gate(options.resolved_expert_ffn(), copies);
  const double around = copies.integer ? 3 : copies.quantized || copies.sub_norms ? 4 : 2;
  return 2 * hidden +
         heads * (static_cast<double>(moe.active) * choice + static_cast<double>(moe.experts)) +
         (moe.heads > 1 ? around * hidden : 0);
}

// Floats that head and loss hold at once: logits and their gradient for a quantized head, one chunk
// of logits (loss/linear_cross_entropy.h) for a plain one.
double at_head(const ModelOptions& options, const std::vector<LinearSpec>& specs, double tokens) {
  const auto vocab = static_cast<double>(options.vocab_size);
  const bool plain =
      options.tied_embeddings || !(specs.back().changes_weight() || specs.back().changes_input());
  const double logits =
      plain ? std::min(tokens, static_cast<double>(head_chunk_rows(options.vocab_size, 4))) * vocab
            : 2 * tokens * vocab;
  return 3 * tokens * static_cast<double>(options.hidden) + logits;
}

// The peak is at the loss, with everything kept, or, with recomputation, maybe later, in a block:
// the logits are gone by then.
double activation_bytes(const ModelOptions& options, const std::vector<LinearSpec>& specs,
                        int64_t batch, int64_t context, bool recompute_blocks, Products products) {
  const double tokens = static_cast<double>(batch) * static_cast<double>(context);
  const Copies copies(options, specs, products);
  double all_blocks = 0, largest_block = 0;
  for (int64_t block = 0; block < options.layers; ++block) {
    const double kept = kept_by_attention(options, copies) + (options.has_experts(block)
                                                                  ? kept_by_mixture(options, copies)
                                                                  : kept_by_ffn(options, copies));
    all_blocks += kept;
    largest_block = std::max(largest_block, kept);
  }
  const auto inputs = static_cast<double>(options.layers * options.hidden);
  const double in_block = 2 * static_cast<double>(options.ffn);  // gradients under way
  const double head = at_head(options, specs, tokens);
  const double floats = recompute_blocks
                            ? tokens * inputs + std::max(tokens * (largest_block + in_block), head)
                            : tokens * all_blocks + std::max(tokens * in_block, head);
  return kFp32Bytes * floats;
}

struct BlockRows {
  int64_t block;
  std::vector<LayerInfo>& layers;
  void add(const std::string& name, Role role, int64_t out, int64_t in, bool to_residual = false) {
    layers.push_back({str("blocks.", block, ".", name), role, block, out, in, to_residual});
  }
};

void add_mixture(const ModelOptions& options, BlockRows& rows) {
  const MoeOptions& moe = options.moe;
  const bool multi_head = moe.heads > 1;
  const int64_t width = options.hidden / moe.heads, ffn = options.resolved_expert_ffn();
  if (multi_head) {
    rows.add("ffn.head", Role::kMoeHead, options.hidden, options.hidden);
  }
  rows.add("ffn.router", Role::kRouter, moe.experts, width);
  for (int64_t expert = 0; expert < moe.experts; ++expert) {
    const std::string name = str("ffn.experts.", expert, ".");
    rows.add(name + "gate", Role::kExpert, ffn, width);
    rows.add(name + "up", Role::kExpert, ffn, width);
    rows.add(name + "down", Role::kExpert, width, ffn, !multi_head);
  }
  if (multi_head) {
    rows.add("ffn.merge", Role::kMoeMerge, options.hidden, options.hidden, true);
  }
}

void add_block(const ModelOptions& options, int64_t block, std::vector<LayerInfo>& layers) {
  const Widths widths(options);
  BlockRows rows{block, layers};
  rows.add("attn.q", Role::kQkv, widths.query, widths.hidden);
  rows.add("attn.k", Role::kQkv, widths.key_value, widths.hidden);
  rows.add("attn.v", Role::kQkv, widths.key_value, widths.hidden);
  rows.add("attn.o", Role::kO, widths.hidden, widths.query, true);
  if (options.has_experts(block)) {
    add_mixture(options, rows);
    return;
  }
  rows.add("ffn.gate", Role::kGateUp, widths.ffn, widths.hidden);
  rows.add("ffn.up", Role::kGateUp, widths.ffn, widths.hidden);
  rows.add("ffn.down", Role::kDown, widths.hidden, widths.ffn, true);
}

// Parameters of the experts that no choice of one token can all reach: those beyond heads * active.
int64_t idle_parameters(const ModelOptions& options) {
  const MoeOptions& moe = options.moe;
  const int64_t idle = std::max<int64_t>(0, moe.experts - moe.heads * moe.active);
  const int64_t width = options.hidden / moe.heads, ffn = options.resolved_expert_ffn();
  const NormPlacement placement = options.norm.placement;
  int64_t expert = 3 * width * ffn;
  if (options.norm.gain && placement == NormPlacement::kSubln) {
    expert += ffn;
  } else if (options.norm.gain && placement != NormPlacement::kPreNorm) {
    expert += 2 * width + ffn;
  }
  return options.blocks_with_experts() * idle * expert;
}

}  // namespace

int64_t linears_in_block(const ModelOptions& options, int64_t block) {
  constexpr int64_t kAttention = 4, kFeedForward = 3;
  const int64_t around_experts = options.moe.heads > 1 ? 3 : 1;  // router; head, merge
  return kAttention + (options.has_experts(block)
                           ? kFeedForward * options.moe.experts + around_experts
                           : kFeedForward);
}

std::vector<LayerInfo> layer_table(const ModelOptions& options) {
  if (options.classifies()) {
    return classifier_table(options);
  }
  std::vector<LayerInfo> layers;
  for (int64_t block = 0; block < options.layers; ++block) {
    add_block(options, block, layers);
  }
  if (!options.tied_embeddings) {
    layers.push_back({"head", Role::kHead, -1, options.vocab_size, options.hidden});
  }
  return layers;
}

SizeEstimate size_of_layers(const QuantPlan& plan, int64_t embedding, int64_t vectors,
                            double activation_bytes, Products products) {
  constexpr double kPlainBytes = 2;  // what has no quantizer ships as bf16
  const std::vector<LayerInfo>& layers = plan.layers;
  const std::vector<LinearSpec>& specs = plan.phases.back().specs;
  SizeEstimate size;
  size.embedding_parameters = embedding;
  size.parameters = embedding + vectors;
  double scale_bytes = 0, kept_latents = 0, code_bytes = 0, step_bytes = 0;
  for (size_t i = 0; i < layers.size(); ++i) {
    const int64_t weights = layers[i].out_features * layers[i].in_features;
    size.parameters += weights;
    if (specs[i].weight.storage == WeightStorage::kProjected) {
      kept_latents += static_cast<double>(weights);
    }
    if (specs[i].weight.scheme != WeightScheme::kNone) {
      size.quantized_parameters += weights;
      const bool integer = products == Products::kInteger && specs[i].has_integer_form();
      step_bytes +=
          static_cast<double>(weights) * (integer ? kPackedBytes : kFp32Bytes + kCodeBytes);
      code_bytes += static_cast<double>(weights) * stored_bits(specs[i].weight) / 8;
      scale_bytes += kFp32Bytes * static_cast<double>(scale_count(layers[i], specs[i].weight));
    }
  }
  const auto quantized = static_cast<double>(size.quantized_parameters);
  size.active_parameters = size.parameters;
  const auto all = static_cast<double>(size.parameters);
  size.packed_bytes = code_bytes + scale_bytes + kPlainBytes * (all - quantized);
  size.training_bytes =
      kOptimizerBytes * all + step_bytes + kFp32Bytes * kept_latents + activation_bytes;
  return size;
}

SizeEstimate estimate_size(const ModelOptions& options, const QuantPlan& plan, int64_t batch,
                           int64_t context, bool recompute_blocks, Products products) {
  const std::vector<LayerInfo> layers = layer_table(options);
  SETUN_ASSERT(plan.layers.size() == layers.size(), "plan of another model");
  if (options.classifies()) {
    return classifier_size(options, plan, batch, products);
  }
  SizeEstimate size =
      size_of_layers(plan, options.vocab_size * options.hidden, gain_parameters(options, layers),
                     activation_bytes(options, plan.phases.back().specs, batch, context,
                                      recompute_blocks, products),
                     products);
  size.active_parameters = size.parameters - idle_parameters(options);
  return size;
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
