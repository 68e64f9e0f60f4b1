// What the reference implementations share.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "ops/cpu/reference.h"

namespace setun::ops::reference {

inline constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

inline bool all_finite(const std::vector<float>& x) {
  return std::all_of(x.begin(), x.end(), [](float v) { return std::isfinite(v); });
}

// std::nearbyint rounds half to even in the default rounding mode.
inline float rounded(float v, float low, float high) {
  return std::clamp(std::nearbyint(v), low, high);
}

inline int8_t code_of(float v, float low, float high) {
  return static_cast<int8_t>(rounded(v, low, high));
}

inline std::vector<float> magnitudes(const std::vector<float>& x) {
  std::vector<float> out;
  for (const float v : x) {
    out.push_back(std::fabs(v));
  }
  return out;
}

inline float largest_magnitude(const std::vector<float>& x) {
  float largest = 0;
  for (const float v : x) {
    largest = std::max(largest, std::fabs(v));
  }
  return largest;
}

}  // namespace setun::ops::reference
