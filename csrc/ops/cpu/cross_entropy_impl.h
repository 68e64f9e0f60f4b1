// Kernels of a row of softmax cross-entropy, M = max z, S = sum exp(z - M) in the tree of
// lanes_impl.h: loss = log(S) + M - z_target (the logarithm in double), dz = exp(z - M) / S -
// [i = target]. Included by step_kernels_impl.h only.
#pragma once

#include <cmath>

#include "ops/cpu/elements_impl.h"
#include "ops/cpu/exp_impl.h"
#include "ops/cpu/step_kernels.h"

namespace setun::ops::cpu {
namespace {

struct Softmax {
  float largest, sum;
};

// A NaN may get past the maximum, not past the sum.
template <class T>
Softmax softmax_of(const T* z, int64_t k) {
  const float largest = lane_max(k, [=](int64_t i) { return load(z, i); });
  return {largest, blocked_sum(k, [=](int64_t i) { return exp_of(load(z, i) - largest); })};
}

inline float loss_of(const Softmax& softmax, float at_target) {
  return static_cast<float>(std::log(static_cast<double>(softmax.sum)) +
                            (static_cast<double>(softmax.largest) - at_target));
}

float cross_entropy(InRow z, int64_t target, int64_t k) {
  return with_elements(z,
                       [&](auto* row) { return loss_of(softmax_of(row, k), load(row, target)); });
}

float cross_entropy_gradient(OutRow z, int64_t target, int64_t k) {
  return with_elements(z, [&](auto* row) {
    const Softmax softmax = softmax_of(row, k);
    const float loss = loss_of(softmax, load(row, target)), inverse = 1.0F / softmax.sum;
    const float at_target = exp_of(load(row, target) - softmax.largest) * inverse - 1.0F;
    for (int64_t i = 0; i < k; ++i) {
      store(row, i, exp_of(load(row, i) - softmax.largest) * inverse);
    }
    store(row, target, at_target);
    return loss;
  });
}

}  // namespace
}  // namespace setun::ops::cpu
