// Reading and writing elements.h's rows inside a kernel. A bf16 is the upper half of a fp32; a NaN
// stays one whatever its payload. Included by the kernel sources only.
#pragma once

#include <bit>

#include "ops/cpu/elements.h"

namespace setun::ops::cpu {
namespace {

struct Bf16 {
  uint16_t bits;
};

inline float load(const float* row, int64_t i) { return row[i]; }
inline float load(const Bf16* row, int64_t i) {
  return std::bit_cast<float>(static_cast<uint32_t>(row[i].bits) << 16);
}

inline void store(float* row, int64_t i, float value) { row[i] = value; }
inline void store(Bf16* row, int64_t i, float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = (bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16;
  row[i].bits = static_cast<uint16_t>(value == value ? rounded : 0x7FC0U);
}

// body(row) with the row's typed pointer.
template <class Body>
auto with_elements(InRow row, const Body& body) {
  return row.type == Element::kBf16 ? body(static_cast<const Bf16*>(row.data))
                                    : body(static_cast<const float*>(row.data));
}
template <class Body>
auto with_elements(OutRow row, const Body& body) {
  return row.type == Element::kBf16 ? body(static_cast<Bf16*>(row.data))
                                    : body(static_cast<float*>(row.data));
}

}  // namespace
}  // namespace setun::ops::cpu
