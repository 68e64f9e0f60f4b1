// What the operators of few rows take at most.
#pragma once

#include <cstdint>

namespace setun::ops {

inline constexpr int64_t kFewRows = 16;
// Sums of |code code| <= 2^14 stay below 2^31.
inline constexpr int64_t kMostInt8Columns = (int64_t{1} << 17) - 1;

}  // namespace setun::ops
