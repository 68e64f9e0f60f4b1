// Row kernels of E2M1, the 4-bit float with the magnitudes 0, .5, 1, 1.5, 2, 3, 4, 6. Its steps are
// .5 below 2, 1 below 4, then 2, and half to even within a step is ties to the even mantissa.
// Included by row_kernels_impl.h only.
#pragma once

#include <cmath>
#include <cstring>

#include "ops/cpu/lanes_impl.h"

namespace setun::ops::cpu {
namespace {

constexpr float kShrinkAbove = 1e37F;  // 6 x would overflow; a power of two changes no digit

// Rounded to the grid, saturating; NaN stays, -0 becomes 0.
inline float e2m1(float z) {
  const float magnitude = std::fabs(z) > 6.0F ? 6.0F : std::fabs(z);
  const float per_step = magnitude < 2.0F ? 2.0F : (magnitude < 4.0F ? 1.0F : 0.5F);
  const float step = magnitude < 2.0F ? 0.5F : (magnitude < 4.0F ? 1.0F : 2.0F);
  const float rounded = ((magnitude * per_step + kRound) - kRound) * step;
  return std::copysign(rounded, z) + 0.0F;
}

void round_e2m1(const float* x, int64_t k, float* out) {
  for (int64_t i = 0; i < k; ++i) {
    out[i] = e2m1(x[i]);
  }
}

// Twice the rounded 6 x / largest: an integer of -12 to 12.
template <class Store>
inline void e2m1_codes(const float* x, int64_t k, float largest, const Store& write) {
  const float shrink = largest > kShrinkAbove ? 0.0625F : 1.0F;
  const float divisor = largest * shrink;
  for (int64_t i = 0; i < k; ++i) {
    write(i, 2.0F * e2m1(6.0F * (x[i] * shrink) / divisor));
  }
}

void encode_e2m1(const float* x, int64_t k, float largest, int8_t* codes) {
  if (!(largest > 0)) {  // a zero row, or NaN
    std::memset(codes, 0, static_cast<std::size_t>(k));
    return;
  }
  e2m1_codes(x, k, largest, [codes](int64_t i, float code) {
    codes[i] = static_cast<int8_t>(static_cast<int32_t>(code));
  });
}

void fake_e2m1(const float* x, int64_t k, float largest, float* out) {
  if (largest == 0) {
    std::memset(out, 0, static_cast<std::size_t>(k) * sizeof(float));
    return;
  }
  const float scale = largest / 12.0F;
  e2m1_codes(x, k, largest, [out, scale](int64_t i, float code) { out[i] = code * scale; });
}

}  // namespace
}  // namespace setun::ops::cpu
