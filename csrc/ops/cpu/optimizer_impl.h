// Kernels of the optimizer step over contiguous fp32. AdamW (1711.05101 algorithm 2) with the
// gradient's clip factor c and the corrections of the moments folded into scalars:
//   g' = c g; m += (1 - b1) (g' - m); v = b2 v + (1 - b2) g' g'
//   p = d p - a m / (r sqrt(v) + eps),  d = 1 - lr wd, a = lr / (1 - b1^t), r = 1 / sqrt(1 - b2^t)
// Included by step_kernels_impl.h only.
#pragma once

#include <cmath>

#include "ops/cpu/lanes_impl.h"
#include "ops/cpu/step_kernels.h"

namespace setun::ops::cpu {
namespace {

void adamw(const AdamWScalars& s, const float* __restrict g, int64_t n, float* __restrict p,
           float* __restrict m, float* __restrict v) {
  const AdamWScalars a = s;  // a copy: the compiler may assume that no store changes it
  for (int64_t i = 0; i < n; ++i) {
    const float gradient = a.clip * g[i];
    m[i] = m[i] + a.first * (gradient - m[i]);
    v[i] = a.beta2 * v[i] + a.second * gradient * gradient;
    p[i] = a.decay * p[i] - a.rate * m[i] / (a.correction * std::sqrt(v[i]) + a.eps);
  }
}

// Over 32 lanes in double, as lane_sum.
double square_sum(const float* x, int64_t n) {
  double lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      const double value = x[i + lane];
      lanes[lane] += value * value;
    }
  }
  for (int lane = 0; i < n; ++i, ++lane) {
    const double value = x[i];
    lanes[lane] += value * value;
  }
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int lane = 0; lane < width; ++lane) {
      lanes[lane] = lanes[2 * lane] + lanes[2 * lane + 1];
    }
  }
  return lanes[0];
}

}  // namespace
}  // namespace setun::ops::cpu
