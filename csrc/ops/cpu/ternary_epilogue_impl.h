// From the 32-bit sums of a ternary product to its fp32 or bf16 result, a row of one panel at a
// time:
//   one scale group a row:  y = float(sum - row_sum) * (scale / s);
//   several:                y = (sum over groups of float(sum - group_sum) * scale) * (1 / s);
// then y + residual, rounded once to the output type. Included by the ternary_kernels_*.cpp only.
#pragma once

#include <cstdint>
#include <cstring>

#include "ops/cpu/ternary_kernels.h"

namespace setun::ops::cpu {
namespace {

inline float from_bf16(uint16_t bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float value = 0;
  std::memcpy(&value, &wide, sizeof value);
  return value;
}

// Round half to even; a NaN keeps its sign and stays quiet.
inline uint16_t to_bf16(float value) {
  uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  const uint32_t rounded = (bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16;
  return static_cast<uint16_t>(value != value ? 0x7FC0U : rounded);
}

void scale_row(const int32_t* sums, int64_t n, int32_t row_sum, const float* scale, int64_t step,
               float s, float* y) {
  if (step == 0) {
    const float factor = scale[0] / s;
    for (int64_t i = 0; i < n; ++i) {
      y[i] = static_cast<float>(sums[i] - row_sum) * factor;
    }
    return;
  }
  for (int64_t i = 0; i < n; ++i) {
    y[i] = static_cast<float>(sums[i] - row_sum) * (scale[i] / s);
  }
}

void add_group(const int32_t* sums, int64_t n, int32_t group_sum, const float* scale, int64_t step,
               float* y) {
  for (int64_t i = 0; i < n; ++i) {
    y[i] += static_cast<float>(sums[i] - group_sum) * scale[i * step];
  }
}

void multiply_row(float* y, int64_t n, float factor) {
  for (int64_t i = 0; i < n; ++i) {
    y[i] *= factor;
  }
}

void store_row(float* y, int64_t n, const RowView& residual, const RowPlace& out) {
  if (residual.fp32 != nullptr) {
    for (int64_t i = 0; i < n; ++i) {
      y[i] += residual.fp32[i];
    }
  } else if (residual.bf16 != nullptr) {
    for (int64_t i = 0; i < n; ++i) {
      y[i] += from_bf16(residual.bf16[i]);
    }
  }
  if (out.fp32 != nullptr) {
    std::memcpy(out.fp32, y, static_cast<std::size_t>(n) * sizeof(float));
    return;
  }
  for (int64_t i = 0; i < n; ++i) {
    out.bf16[i] = to_bf16(y[i]);
  }
}

}  // namespace
}  // namespace setun::ops::cpu
