// Selection by magnitude without sorting. The bits of |x|, read as an integer, are ordered as |x|
// is (NaN above infinity), so the rank-th largest is found bit by bit: 31 counts of "at least
// this".
#pragma once

#include <cstdint>

namespace setun::ops::cpu {

// The key of the rank-th largest (1 is the largest); count(key) says how many are at least key.
template <class Count>
uint32_t ranked_key(int64_t rank, const Count& count) {
  uint32_t key = 0;
  for (int bit = 30; bit >= 0; --bit) {
    const uint32_t candidate = key | (1U << bit);
    key = count(candidate) >= rank ? candidate : key;
  }
  return key;
}

}  // namespace setun::ops::cpu
