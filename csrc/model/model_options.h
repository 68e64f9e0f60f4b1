// The `model` section: a Llama-shaped decoder, or a feed-forward classifier. Sizes only; what is
// quantized is the `quant` section's business.
#pragma once

#include <cstdint>
#include <vector>

#include "base/enum_names.h"
#include "base/error.h"

namespace setun {

// decoder: a language model. mlp: a classifier of rows of numbers. bag_of_words: a classifier of
// texts, a sum of word embeddings in front of an mlp.
enum class ModelKind { kDecoder, kMlp, kBagOfWords };
// rms: RMSNorm, with or without a learned gain. layer: LayerNorm without affine (BitNet b1,
// 2310.11453).
enum class NormKind { kRms, kLayer };
enum class HiddenActivation { kRelu, kGelu, kSilu };  // of a classifier's hidden layers
// Where norms stand (BitNet FAQ section 3; methods-bitnet 0.4). Equal for a ternary model and
// its full-precision twin.
//   prenorm             one norm before qkv, one before gate/up (the plain Llama block)
//   subln               prenorm, and norms on the concatenated heads before o and on the FFN
//   product
//                       before down
//   per_linear          every linear owns a norm on its input; no block norms
//   prenorm_per_linear  prenorm and per_linear together
//   none                nowhere (classifiers; they take this or per_linear)
enum class NormPlacement { kPreNorm, kSubln, kPerLinear, kPreNormPerLinear, kNone };
enum class FfnKind { kSwiGlu, kRelu2Glu };  // silu(g) * u, and relu(g)^2 * u
// normal: every matrix N(0, std). residual_scaled: o and down N(0, std / sqrt(2 * layers)), the
// rest N(0, std). fan_in: every linear N(0, 1 / sqrt(in)). The embedding, which a tied head shares,
// is N(0, std) with each kind.
enum class InitKind { kNormal, kResidualScaled, kFanIn };

template <>
struct EnumNames<NormPlacement> {
  static constexpr auto table =
      enum_table<NormPlacement>({{NormPlacement::kPreNorm, "prenorm"},
                                 {NormPlacement::kSubln, "subln"},
                                 {NormPlacement::kPerLinear, "per_linear"},
                                 {NormPlacement::kPreNormPerLinear, "prenorm_per_linear"},
                                 {NormPlacement::kNone, "none"}});
};
template <>
struct EnumNames<ModelKind> {
  static constexpr auto table = enum_table<ModelKind>({{ModelKind::kDecoder, "decoder"},
                                                       {ModelKind::kMlp, "mlp"},
                                                       {ModelKind::kBagOfWords, "bag_of_words"}});
};
template <>
struct EnumNames<NormKind> {
  static constexpr auto table =
      enum_table<NormKind>({{NormKind::kRms, "rms"}, {NormKind::kLayer, "layer"}});
};
template <>
struct EnumNames<HiddenActivation> {
  static constexpr auto table = enum_table<HiddenActivation>({{HiddenActivation::kRelu, "relu"},
                                                              {HiddenActivation::kGelu, "gelu"},
                                                              {HiddenActivation::kSilu, "silu"}});
};
template <>
struct EnumNames<FfnKind> {
  static constexpr auto table =
      enum_table<FfnKind>({{FfnKind::kSwiGlu, "swiglu"}, {FfnKind::kRelu2Glu, "relu2_glu"}});
};
template <>
struct EnumNames<InitKind> {
  static constexpr auto table =
      enum_table<InitKind>({{InitKind::kNormal, "normal"},
                            {InitKind::kResidualScaled, "residual_scaled"},
                            {InitKind::kFanIn, "fan_in"}});
};

struct NormOptions {
  NormPlacement placement = NormPlacement::kSubln;
  NormKind kind = NormKind::kRms;
  bool gain = true;  // learned gain, initialised to 1; rms only
  double eps = 1e-5;
  bool operator==(const NormOptions&) const = default;
};

struct InitOptions {
  InitKind kind = InitKind::kNormal;
  double std = 0.02;
  bool operator==(const InitOptions&) const = default;
};

// Kinds mlp and bag_of_words.
struct ClassifierOptions {
  int64_t features = 0;  // mlp: inputs; 0: the data's
  int64_t classes = 0;   // 0: the data's
  std::vector<int64_t> widths =
      {};  // of the hidden layers; a bag_of_words' first is its embedding's
  HiddenActivation activation = HiddenActivation::kRelu;
  bool bias = true;    // of every layer, full precision
  double dropout = 0;  // share of each hidden layer's outputs that training drops
  bool operator==(const ClassifierOptions&) const = default;
};

// Sparse mixture-of-experts feed-forward parts: token-choice top-`active` of `experts` gated FFNs
// (Switch, 2101.03961; GShard, 2006.16668), and with heads > 1 MH-MoE (2411.16205 section 2). No
// capacity limit: every token reaches every expert it chose.
struct MoeOptions {
  int64_t experts = 0;  // 0: dense
  int64_t active = 1;
  int64_t heads = 1;
  int64_t expert_ffn = 0;  // 0: as ffn
  int64_t every = 2;       // blocks every - 1, 2 every - 1, ...
  double balance = 0.01;
  bool normalize_gates = false;
  bool operator==(const MoeOptions&) const = default;
};

struct ModelOptions {
  ModelKind kind = ModelKind::kDecoder;
  int64_t vocab_size = 0;  // 0: the tokenizer's
  int64_t hidden = 256;
  int64_t layers = 4;
  int64_t heads = 4;
  int64_t kv_heads = 0;  // 0: as heads
  int64_t head_dim = 0;  // 0: hidden / heads
  int64_t ffn = 768;
  FfnKind ffn_kind = FfnKind::kSwiGlu;
  int64_t max_context = 1024;  // longest sequence, generation included
  double rope_base = 10000;
  bool tied_embeddings = true;
  ClassifierOptions classifier;
  NormOptions norm;
  InitOptions init;
  MoeOptions moe;

  bool operator==(const ModelOptions&) const = default;
  void validate(Errors& errors) const;
  bool classifies() const { return kind != ModelKind::kDecoder; }
  int64_t resolved_kv_heads() const { return kv_heads == 0 ? heads : kv_heads; }
  int64_t resolved_head_dim() const { return head_dim == 0 ? hidden / heads : head_dim; }
  int64_t resolved_expert_ffn() const { return moe.expert_ffn == 0 ? ffn : moe.expert_ffn; }
  bool has_experts(int64_t block) const { return moe.experts > 0 && (block + 1) % moe.every == 0; }
  int64_t blocks_with_experts() const { return moe.experts > 0 ? layers / moe.every : 0; }
};

}  // namespace setun
