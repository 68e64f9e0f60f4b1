#include "quant/attention_quant_options.h"

#include <algorithm>

namespace setun {
namespace {

void check_bits(const char* key, int64_t bits, Errors& errors) {
  if (bits != 0 && (bits < 2 || bits > 8)) {
    errors.add(key, "must be 2 to 8, or 0 for full precision, got ", bits);
  }
}

}  // namespace

void AttentionQuantOptions::validate(Errors& errors) const {
  check_bits("key_bits", key_bits, errors);
  check_bits("value_bits", value_bits, errors);
  check_bits("query_bits", query_bits, errors);
  check_bits("first_token_bits", first_token_bits, errors);
  const int64_t most = std::max(key_bits, value_bits);
  if (first_token_bits != 0 && first_token_bits < most) {
    errors.add("first_token_bits", "is ", first_token_bits, ", fewer than the ", most,
               " bits of the other tokens; give the first token at least as many, or 0 for full "
               "precision");
  }
  if (!(eps > 0)) {
    errors.add("eps", "must be greater than 0, got ", eps);
  }
}

}  // namespace setun
