// quant.attention: fake quantization of attention's queries, keys and values after the rotation, in
// every block (BitNet a4.8, 2411.04965 section 3.1; v2, 2504.18415 section 3.1). Torch-free.
// Formulas: quant/attention_quant.h.
#pragma once

#include <cstdint>

#include "base/enum_names.h"
#include "base/error.h"
#include "base/step_point.h"

namespace setun {

enum class HeadScheme { kSymmetric, kAsymmetric };
template <>
struct EnumNames<HeadScheme> {
  static constexpr auto table = enum_table<HeadScheme>(
      {{HeadScheme::kSymmetric, "symmetric"}, {HeadScheme::kAsymmetric, "asymmetric"}});
};

// Bits are 2..8, or 0 for full precision.
struct AttentionQuantOptions {
  int64_t key_bits = 0;
  int64_t value_bits = 0;
  int64_t query_bits = 0;  // queries are never cached
  // Of the quantized keys and values of the first token of a sequence or document, on which most
  // of the attention falls: 0 or at least as many as the others' (fewer would turn the exemption
  // around).
  int64_t first_token_bits = 8;
  HeadScheme scheme = HeadScheme::kSymmetric;
  StepPoint from;     // the first step that quantizes
  double eps = 1e-5;  // smallest absolute maximum, or range, of a head

  bool operator==(const AttentionQuantOptions&) const = default;
  bool quantizes() const { return key_bits > 0 || value_bits > 0 || query_bits > 0; }
  void validate(Errors& errors) const;
};

}  // namespace setun
