// Kernels of RMSNorm and of LayerNorm without affine, over rows of fp32 or bf16, forward and
// backward. With f = 1 / sqrt(mean(x^2) + eps):
//   RMSNorm    y = x f g           dx = f (g dy - (x f) mean(g dy (x f)))   dg += dy (x f)
//   LayerNorm  y = (x - mean(x)) f dx = f (dy - mean(dy) - y mean(dy y)),   f of the centred row
// Every sum goes through the tree of lanes_impl.h. Included by the kernel sources only.
#pragma once

#include <cmath>

#include "ops/cpu/elements_impl.h"
#include "ops/cpu/lanes_impl.h"

namespace setun::ops::cpu {
namespace {

constexpr float kHuge = 1e18F;  // above it x * x may overflow a sum of 2^24 terms

// max|x| of k values, NaN when any of them is not finite.
template <class T>
float abs_max_of(const T* x, int64_t k) {
  float lanes[kLanes] = {};
  float poison[kLanes] =
      {};  // 0 * x is 0, or NaN for an x that is not finite: a maximum alone would drop NaN
  const auto take = [&](int64_t i, int lane) {
    const float in = load(x, i), value = std::fabs(in);
    lanes[lane] = value > lanes[lane] ? value : lanes[lane];
    poison[lane] += 0.0F * in;
  };
  int64_t i = 0;
  for (; i + kLanes <= k; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      take(i + lane, lane);
    }
  }
  for (int lane = 0; i < k; ++i, ++lane) {
    take(i, lane);
  }
  return reduce_max(lanes) + reduce_sum(poison);
}

// Sum of squares in the fixed tree and largest magnitude (NaN ignored) of n <= kSumBlock values.
struct SquaresAndMax {
  float sum, largest;
};
template <class T>
SquaresAndMax squares_and_max(const T* x, int64_t n) {
  float squares[kLanes] = {}, largest[kLanes] = {};
  const auto take = [&](int64_t i, int lane) {
    const float value = load(x, i), magnitude = std::fabs(value);
    squares[lane] += value * value;
    largest[lane] = magnitude > largest[lane] ? magnitude : largest[lane];
  };
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      take(i + lane, lane);
    }
  }
  for (int lane = 0; i < n; ++i, ++lane) {
    take(i, lane);
  }
  return {reduce_sum(squares), reduce_max(largest)};
}

// The factor of a row that is huge or not finite.
template <class T>
float rms_factor_scaled(const T* x, int64_t k, float largest, double eps) {
  const float sum = blocked_sum(k, [x, largest](int64_t i) {
    const float v = load(x, i) / largest;
    return v * v;
  });
  const float shift = static_cast<float>(eps) / largest / largest;
  return 1.0F / std::sqrt(sum / static_cast<float>(k) + shift) / largest;
}

template <class T>
float rms_factor_of(const T* x, int64_t k, double eps) {
  SquaresAndMax total = {0, 0};
  for (int64_t start = 0; start < k; start += kSumBlock) {
    const int64_t n = k - start < kSumBlock ? k - start : kSumBlock;
    const SquaresAndMax block = squares_and_max(x + start, n);
    total.sum = start == 0 ? block.sum : total.sum + block.sum;
    total.largest = block.largest > total.largest ? block.largest : total.largest;
  }
  if (!(total.largest <= kHuge) || std::isnan(total.sum)) {
    return rms_factor_scaled(x, k, abs_max_of(x, k), eps);
  }
  return 1.0F / std::sqrt(total.sum / static_cast<float>(k) + static_cast<float>(eps));
}

template <class T>
void scaled_row(const T* __restrict x, const float* __restrict gain, int64_t k, float factor,
                float* __restrict y) {
  if (gain == nullptr) {
    for (int64_t i = 0; i < k; ++i) {
      y[i] = load(x, i) * factor;
    }
    return;
  }
  for (int64_t i = 0; i < k; ++i) {
    y[i] = load(x, i) * factor * gain[i];
  }
}

template <class T>
void centred_row(const T* __restrict x, int64_t k, float* __restrict y) {
  const float mean = blocked_sum(k, [x](int64_t i) { return load(x, i); }) / static_cast<float>(k);
  for (int64_t i = 0; i < k; ++i) {
    y[i] = load(x, i) - mean;
  }
}

}  // namespace
}  // namespace setun::ops::cpu
