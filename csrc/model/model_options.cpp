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

}  // namespace

void ModelOptions::validate(Errors& errors) const {
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
  if (!(norm.eps > 0)) {
    errors.add("norm.eps", "must be greater than 0, got ", norm.eps);
  }
  if (!(init.std > 0)) {
    errors.add("init.std", "must be greater than 0, got ", init.std);
  }
  if (sizes) {
    validate_moe(*this, errors);
  }
}

}  // namespace setun
