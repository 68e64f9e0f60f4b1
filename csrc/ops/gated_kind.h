// The activations of a gated feed-forward part, by the names the operators take.
#pragma once

#include <cstdint>

#include "base/enum_names.h"

namespace setun {

enum class GatedKind : uint8_t { kSilu, kRelu2 };  // silu(g) * u and relu(g)^2 * u

template <>
struct EnumNames<GatedKind> {
  static constexpr auto table =
      enum_table<GatedKind>({{GatedKind::kSilu, "silu"}, {GatedKind::kRelu2, "relu2"}});
};

}  // namespace setun
