#include "model/model_options.h"

#include <cmath>

namespace setun {

void ModelOptions::validate(Errors& errors) const {
  const auto positive = [&](const char* key, int64_t value) {
    if (value < 1) {
      errors.add(key, "must be at least 1, got ", value);
    }
    return value >= 1;
  };
  const bool sizes = positive("hidden", hidden) && positive("layers", layers) &&
                     positive("heads", heads) && positive("ffn", ffn) &&
                     positive("max_context", max_context);
  for (const auto& [key, value] :
       {std::pair{"vocab_size", vocab_size}, {"kv_heads", kv_heads}, {"head_dim", head_dim}}) {
    if (value < 0) {
      errors.add(key, "must be 0 (automatic) or more, got ", value);
    }
  }
  if (sizes && head_dim == 0 && hidden % heads != 0) {
    errors.add("heads", heads, " does not divide hidden ", hidden,
               "; choose a divisor or set head_dim");
  } else if (sizes && head_dim >= 0 && resolved_head_dim() % 2 != 0) {
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
