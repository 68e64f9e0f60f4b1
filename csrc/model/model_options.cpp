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
}

}  // namespace setun
