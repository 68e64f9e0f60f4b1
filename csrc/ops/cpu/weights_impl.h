// Row kernels of binary and stochastic ternary weights. Included by row_kernels_impl.h only.
#pragma once

#include <cmath>

#include "ops/cpu/lanes_impl.h"

namespace setun::ops::cpu {
namespace {

float sum(const float* x, int64_t n) {
  return lane_sum(n, [x](int64_t i) { return x[i]; });
}

void encode_sign(const float* x, int64_t k, float centre, int8_t* codes) {
  for (int64_t i = 0; i < k; ++i) {
    codes[i] = x[i] > centre ? 1 : -1;
  }
}

void encode_stochastic(const float* x, const float* u, int64_t k, float multiplier, int8_t* codes) {
  for (int64_t i = 0; i < k; ++i) {
    const int32_t sign = (x[i] > 0 ? 1 : 0) - (x[i] < 0 ? 1 : 0);
    codes[i] = static_cast<int8_t>(std::fabs(x[i]) * multiplier >= u[i] ? sign : 0);
  }
}

}  // namespace
}  // namespace setun::ops::cpu
