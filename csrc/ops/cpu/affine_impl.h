// Row kernels of step quantizers, code = clip(rne((x - offset) / step)): symmetric ones have offset
// 0, for which x - 0 and 0 + value change no bit. Included by row_kernels_impl.h only.
#pragma once

#include <cstring>

#include "ops/cpu/lanes_impl.h"

namespace setun::ops::cpu {
namespace {

void min_max(const float* x, int64_t k, float* low, float* high) {
  float least[kLanes], most[kLanes], poison[kLanes] = {};
  for (int lane = 0; lane < kLanes; ++lane) {
    least[lane] = most[lane] = x[0];
  }
  const auto add = [&](int lane, float value) {
    least[lane] = value < least[lane] ? value : least[lane];
    most[lane] = value > most[lane] ? value : most[lane];
    poison[lane] += 0.0F * value;
  };
  int64_t i = 0;
  for (; i + kLanes <= k; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      add(lane, x[i + lane]);
    }
  }
  for (int lane = 0; i < k; ++i, ++lane) {
    add(lane, x[i]);
  }
  for (int lane = 1; lane < kLanes; ++lane) {
    least[0] = least[lane] < least[0] ? least[lane] : least[0];
    most[0] = most[lane] > most[0] ? most[lane] : most[0];
  }
  const float nan_or_0 = reduce_sum(poison);
  *low = least[0] + nan_or_0;
  *high = most[0] + nan_or_0;
}

void encode_affine(const float* x, int64_t k, float offset, float step, float low, float high,
                   uint8_t* codes) {
  if (std::isnan(step)) {
    std::memset(codes, 0, static_cast<std::size_t>(k));
    return;
  }
  for (int64_t i = 0; i < k; ++i) {
    const float code = code_of((x[i] - offset) / step, low, high);
    codes[i] = static_cast<uint8_t>(static_cast<int32_t>(code));
  }
}

void fake_affine(const float* x, int64_t k, float offset, float step, float low, float high,
                 float* out) {
  for (int64_t i = 0; i < k; ++i) {
    out[i] = offset + code_of((x[i] - offset) / step, low, high) * step;
  }
}

}  // namespace
}  // namespace setun::ops::cpu
