// Kernels of RMSNorm and of LayerNorm without affine, over rows of fp32 or bf16, forward and
// backward. With f = 1 / sqrt(mean(x^2) + eps):
//   RMSNorm    y = x f g           dx = f (g dy - (x f) mean(g dy (x f)))   dg += dy (x f)
//   LayerNorm  y = (x - mean(x)) f dx = f (dy - mean(dy) - y mean(dy y)),   f of the centred row
// Every sum goes through the tree of lanes_impl.h. Included by the kernel sources only.
#pragma once

#include <cmath>
#include <limits>

#include "ops/cpu/elements_impl.h"
#include "ops/cpu/lanes_impl.h"

namespace setun::ops::cpu {
namespace {

// A row with a larger element, or whose sum of squares overflows, is divided by its largest first.
constexpr float kHuge = 1e18F;
constexpr float kSurelySmall = 1e35F;  // no element of a row with a smaller sum of squares is huge

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

template <class T>
float rms_factor_of(const T* x, int64_t k, double eps) {
  const auto plain = [&](float sum) {
    return 1.0F / std::sqrt(sum / static_cast<float>(k) + static_cast<float>(eps));
  };
  const float squares = blocked_sum(k, [x](int64_t i) { return load(x, i) * load(x, i); });
  if (squares < kSurelySmall) {  // which saves looking for the largest; not so for NaN
    return plain(squares);
  }
  const float largest = abs_max_of(x, k);
  if (largest <= kHuge && squares <= std::numeric_limits<float>::max()) {
    return plain(squares);
  }
  const float sum = blocked_sum(k, [x, largest](int64_t i) {
    const float v = load(x, i) / largest;
    return v * v;
  });
  const float shift = static_cast<float>(eps) / largest / largest;
  return 1.0F / std::sqrt(sum / static_cast<float>(k) + shift) / largest;
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
