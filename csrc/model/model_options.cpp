#include "model/model_options.h"

#include <tuple>

namespace setun {
namespace {

// Far above any model, and low enough that no product of sizes overflows 64 bits.
constexpr int64_t kMostWidth = 1'000'000;
constexpr int64_t kMostLayers = 10'000;
constexpr int64_t kMostHeads = 10'000;
constexpr int64_t kMostHeadDim = 10'000;
constexpr int64_t kMostRows = 100'000'000;
constexpr int64_t kMostExperts = 100'000;
constexpr int64_t kMostExpertLayers = 1'000'000;  // the layer table has a row for each

void validate_moe(const ModelOptions& model, Errors& errors) {
  const MoeOptions& moe = model.moe;
  if (moe.experts == 0) {
    if (moe != MoeOptions{}) {
      errors.add("moe.experts",
                 "is 0, so the other keys of moe would have no effect; set experts "
                 "to 2 or more, or remove them");
    }
    return;
  }
  if (moe.experts < 2 || moe.experts > kMostExperts) {
    errors.add("moe.experts", "must be 0 (dense), or 2 to ", kMostExperts, ", got ", moe.experts);
    return;
  }
  if (moe.experts * model.layers > kMostExpertLayers) {
    errors.add("moe.experts", moe.experts, " in ", model.layers, " layers are more than ",
               kMostExpertLayers, " experts");
  }
  if (moe.active < 1 || moe.active > moe.experts) {
    errors.add("moe.active", "must be 1 to experts = ", moe.experts, ", got ", moe.active);
  } else if (moe.active == 1 && moe.normalize_gates) {
    errors.add("moe.normalize_gates",
               "makes every gate 1 when active is 1, and the loss then does "
               "not reach the router; set active to 2 or more, or normalize_gates: false");
  }
  if (moe.heads < 1 || model.hidden % moe.heads != 0) {
    errors.add("moe.heads", "must divide hidden ", model.hidden, ", got ", moe.heads);
  }
  if (moe.expert_ffn < 0 || moe.expert_ffn > kMostWidth) {
    errors.add("moe.expert_ffn", "must be 0 (as ffn) to ", kMostWidth, ", got ", moe.expert_ffn);
  }
  if (moe.every < 1 || moe.every > model.layers) {
    errors.add("moe.every", "must be 1 to layers = ", model.layers, ", got ", moe.every);
  }
  if (!(moe.balance >= 0)) {
    errors.add("moe.balance", "must be 0 or more, got ", moe.balance);
  }
}

constexpr std::size_t kMostDepth = 1000;

// Keys of a decoder that a classifier would ignore: an option without effect is a mistake.
void check_decoder_keys(const ModelOptions& options, Errors& errors) {
  const ModelOptions defaults;
  const auto unused = [&](const char* key, bool given) {
    if (given) {
      errors.add(key, "is of decoders; model.kind is ", enum_name(options.kind),
                 ", whose sizes are model.classifier.*");
    }
  };
  unused("hidden", options.hidden != defaults.hidden);
  unused("layers", options.layers != defaults.layers);
  unused("heads", options.heads != defaults.heads);
  unused("kv_heads", options.kv_heads != defaults.kv_heads);
  unused("head_dim", options.head_dim != defaults.head_dim);
  unused("ffn", options.ffn != defaults.ffn);
  unused("ffn_kind", options.ffn_kind != defaults.ffn_kind);
  unused("max_context", options.max_context != defaults.max_context);
  unused("rope_base", options.rope_base != defaults.rope_base);
  unused("tied_embeddings", options.tied_embeddings != defaults.tied_embeddings);
  unused("moe", options.moe != defaults.moe);
  unused("vocab_size", options.kind == ModelKind::kMlp && options.vocab_size != 0);
}

void check_classifier(const ModelOptions& options, Errors& errors) {
  const ClassifierOptions& sizes = options.classifier;
  check_decoder_keys(options, errors);
  const bool bags = options.kind == ModelKind::kBagOfWords;
  if (bags && sizes.features != 0) {
    errors.add("classifier.features", "is of model.kind mlp; bag_of_words has a vocabulary");
  }
  if (bags && sizes.widths.empty()) {
    errors.add("classifier.widths", "is empty; the first width is the embedding's, e.g. [1024]");
  }
  if (bags && (options.vocab_size < 0 || options.vocab_size > kMostRows)) {
    errors.add("vocab_size", "must be 0 (the data's) to ", kMostRows, ", got ", options.vocab_size);
  }
  for (const auto& [key, value] : {std::pair{"classifier.features", sizes.features},
                                   std::pair{"classifier.classes", sizes.classes}}) {
    if (value < 0 || value > kMostWidth) {
      errors.add(key, "must be 0 (the data's) to ", kMostWidth, ", got ", value);
    }
  }
  if (sizes.widths.size() > kMostDepth) {
    errors.add("classifier.widths", "has ", sizes.widths.size(), " layers; the most is ",
               kMostDepth);
  }
  for (std::size_t i = 0; i < sizes.widths.size(); ++i) {
    if (sizes.widths[i] < 1 || sizes.widths[i] > kMostWidth) {
      errors.add(str("classifier.widths[", i, "]"), "must be 1 to ", kMostWidth, ", got ",
                 sizes.widths[i]);
    }
  }
  if (!(sizes.dropout >= 0 && sizes.dropout < 1)) {
    errors.add("classifier.dropout", "must be in [0, 1), got ", sizes.dropout);
  }
  const NormPlacement placement = options.norm.placement;
  if (placement != NormPlacement::kNone && placement != NormPlacement::kPerLinear) {
    errors.add("norm.placement", enum_name(placement), " is of decoder blocks; model.kind ",
               enum_name(options.kind), " takes none or per_linear");
  }
  if (options.init.kind == InitKind::kResidualScaled) {
    errors.add("init.kind", "residual_scaled is of decoders; take normal or fan_in");
  }
}

void check_values(const ModelOptions& options, Errors& errors) {
  if (options.norm.kind == NormKind::kLayer && options.norm.gain) {
    errors.add("norm.gain", "is true, but a layer norm has no gain; set norm.gain=false");
  }
  if (!(options.norm.eps > 0)) {
    errors.add("norm.eps", "must be greater than 0, got ", options.norm.eps);
  }
  if (!(options.init.std > 0)) {
    errors.add("init.std", "must be greater than 0, got ", options.init.std);
  }
}

}  // namespace

void ModelOptions::validate(Errors& errors) const {
  check_values(*this, errors);
  if (classifies()) {
    check_classifier(*this, errors);
    return;
  }
  if (classifier != ClassifierOptions{}) {
    errors.add("classifier", "is of model.kind mlp and bag_of_words; the kind is decoder");
  }
  if (norm.placement == NormPlacement::kNone) {
    errors.add("norm.placement", "none is of classifiers; a decoder takes ",
               "prenorm, subln, per_linear or prenorm_per_linear");
  }
  bool sizes = true;
  const auto size = [&](const char* key, int64_t value, int64_t most) {
    if (value < 1 || value > most) {
      errors.add(key, "must be 1 to ", most, ", got ", value);
      sizes = false;
    }
  };
  size("hidden", hidden, kMostWidth);
  size("layers", layers, kMostLayers);
  size("heads", heads, kMostHeads);
  size("ffn", ffn, kMostWidth);
  size("max_context", max_context, kMostRows);
  for (const auto& [key, value, most] : {std::tuple{"vocab_size", vocab_size, kMostRows},
                                         {"kv_heads", kv_heads, kMostHeads},
                                         {"head_dim", head_dim, kMostHeadDim}}) {
    if (value < 0 || value > most) {
      errors.add(key, "must be 0 (automatic) to ", most, ", got ", value);
      sizes = false;
    }
  }
  if (sizes && head_dim == 0 && hidden % heads != 0) {
    errors.add("heads", heads, " does not divide hidden ", hidden,
               "; choose a divisor or set head_dim");
  } else if (sizes && resolved_head_dim() % 2 != 0) {
    errors.add(head_dim == 0 ? "heads" : "head_dim", "gives ", resolved_head_dim(),
               " features per head; rotary positions need an even number");
  }
  if (sizes && kv_heads > 0 && heads % kv_heads != 0) {
    errors.add("kv_heads", kv_heads, " does not divide heads ", heads);
  }
  if (!(rope_base > 1)) {
    errors.add("rope_base", "must be greater than 1, got ", rope_base);
  }
  if (sizes) {
    validate_moe(*this, errors);
  }
}

}  // namespace setun
