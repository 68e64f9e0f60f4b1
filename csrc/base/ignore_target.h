// The target value that means "nothing is to be predicted here"; the loader writes it, the loss
// skips it.
#pragma once

#include <cstdint>

namespace setun {

inline constexpr int64_t kIgnoreTarget = -100;

}  // namespace setun
