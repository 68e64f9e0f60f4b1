// exp in fp32 that compilers turn into vectors without changing a bit: x = n ln2 + r with
// |r| <= ln2 / 2, exp(r) = 1 + r + r^2 q(r), then 2^n by its exponent. q interpolates
// (exp(r) - 1 - r) / r^2 at the Chebyshev points of that range, which leaves 1.1e-8 relative; with
// rounding the result is within 2 ulp. 0 below -86.9 (no denormals), infinite above 88.73, NaN for
// NaN. Included by the kernel sources only.
#pragma once

#include <bit>

#include "ops/cpu/lanes_impl.h"

namespace setun::ops::cpu {
namespace {

inline float exp_of(float x) {
  constexpr float kLog2E = 1.44269502F;
  constexpr float kLn2High = 0.693359375F;  // 355 / 512: times an |n| < 2^15 it is exact
  constexpr float kLn2Low = -2.12194442e-4F;
  const float t = clipped(x, -87.0F, 89.0F);
  const float shifted = t * kLog2E + kRound;
  const float n = shifted - kRound;
  const float r = (t - n * kLn2High) - n * kLn2Low;
  float q = 1.39262504e-3F;
  q = q * r + 8.36323295e-3F;
  q = q * r + 4.16665524e-2F;
  q = q * r + 1.66665763e-1F;
  q = q * r + 0.5F;
  const float y = (q * r * r + r) + 1.0F;
  // 2^(n-1) twice over: 2^128 has no fp32, the product may have one.
  const int32_t exponent =
      std::bit_cast<int32_t>(shifted) - std::bit_cast<int32_t>(kRound) + (127 - 1);
  const float half = std::bit_cast<float>(static_cast<uint32_t>(exponent) << 23);
  const float value = y * half * 2.0F;
  return x < -86.9F ? 0.0F : value;
}

}  // namespace
}  // namespace setun::ops::cpu
