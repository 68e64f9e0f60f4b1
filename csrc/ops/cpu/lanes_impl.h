// What every kernel source shares: sums and maxima over 32 independent lanes, which compilers turn
// into vectors of any width without changing a bit, and exact rounding. Rounding is the trick
// (v + 1.5*2^23) - 1.5*2^23: round half to even for |v| < 2^22, and codes are clipped to 8 bits
// first. Included by row_kernels_impl.h only.
#pragma once

#include <cmath>
#include <cstdint>

#include "ops/cpu/row_kernels.h"

namespace setun::ops::cpu {
namespace {

constexpr int kLanes = 32;
constexpr float kRound = 12582912.0F;  // 1.5 * 2^23

// ((0+1)+(2+3))+...: pairwise over the lanes, then the caller's blocks.
inline float reduce_sum(float* lanes) {
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) {
      lanes[i] = lanes[2 * i] + lanes[2 * i + 1];
    }
  }
  return lanes[0];
}

inline float reduce_max(const float* lanes) {
  float best = 0;
  for (int i = 0; i < kLanes; ++i) {
    best = lanes[i] > best ? lanes[i] : best;
  }
  return best;
}

// Largest term(i), i in [0, n), n > 0. A NaN may get past it; a sum of the same terms keeps it.
template <class Term>
float lane_max(int64_t n, const Term& term) {
  float lanes[kLanes];
  for (float& lane : lanes) {
    lane = term(0);
  }
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      const float value = term(i + lane);
      lanes[lane] = value > lanes[lane] ? value : lanes[lane];
    }
  }
  for (; i < n; ++i) {
    const float value = term(i);
    lanes[0] = value > lanes[0] ? value : lanes[0];
  }
  float largest = lanes[0];
  for (const float lane : lanes) {
    largest = lane > largest ? lane : largest;
  }
  return largest;
}

// Adds term(i) for i in [0, n) into 32 lanes (element i goes to lane i % 32), then pairwise.
template <class Term>
float lane_sum(int64_t n, const Term& term) {
  float lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      lanes[lane] += term(i + lane);
    }
  }
  for (int lane = 0; i < n; ++i, ++lane) {
    lanes[lane] += term(i);
  }
  return reduce_sum(lanes);
}

// Long rows add fixed blocks of kSumBlock elements, so that rounding stays small and the tree stays
// the same.
template <class Term>
float blocked_sum(int64_t n, const Term& term) {
  if (n <= kSumBlock) {
    return lane_sum(n, term);
  }
  float total = 0;
  for (int64_t start = 0; start < n; start += kSumBlock) {
    const int64_t length = n - start < kSumBlock ? n - start : kSumBlock;
    total += lane_sum(length, [&](int64_t i) { return term(start + i); });
  }
  return total;
}

inline float clipped(float v, float low, float high) {
  v = v < low ? low : v;
  return v > high ? high : v;
}

// low and high are integers, so clipping first gives the code of clipping last, and keeps the
// rounding trick exact.
inline float code_of(float v, float low, float high) {
  return (clipped(v, low, high) + kRound) - kRound;
}

}  // namespace
}  // namespace setun::ops::cpu
