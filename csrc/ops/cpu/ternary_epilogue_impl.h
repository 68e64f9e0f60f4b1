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

// Round half to even; NaN becomes the quiet one.
inline uint16_t to_bf16(float value) {
  uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  const uint32_t rounded = (bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16;
  return static_cast<uint16_t>(value != value ? 0x7FC0U : rounded);
}

// out = value(i) for n outputs, in the output's type. Nothing overlaps.
template <class Value>
inline void store_row(int64_t n, const RowPlace& out, const Value& value) {
  if (out.fp32 != nullptr) {
    float* __restrict y = out.fp32;
    for (int64_t i = 0; i < n; ++i) {
      y[i] = value(i);
    }
  } else {
    uint16_t* __restrict y = out.bf16;
    for (int64_t i = 0; i < n; ++i) {
      y[i] = to_bf16(value(i));
    }
  }
}

template <class Value>
inline void add_residual(int64_t n, const RowView& residual, const RowPlace& out,
                         const Value& value) {
  if (residual.fp32 != nullptr) {
    const float* __restrict r = residual.fp32;
    store_row(n, out, [=](int64_t i) { return value(i) + r[i]; });
  } else if (residual.bf16 != nullptr) {
    const uint16_t* __restrict r = residual.bf16;
    store_row(n, out, [=](int64_t i) { return value(i) + from_bf16(r[i]); });
  } else {
    store_row(n, out, value);
  }
}

void finish_row(const int32_t* __restrict sums, int64_t n, int32_t row_sum,
                const float* __restrict scale, int64_t step, float s, const RowView& residual,
                const RowPlace& out) {
  if (step == 0) {
    const float factor = scale[0] / s;
    add_residual(n, residual, out,
                 [=](int64_t i) { return static_cast<float>(sums[i] - row_sum) * factor; });
  } else {
    add_residual(n, residual, out,
                 [=](int64_t i) { return static_cast<float>(sums[i] - row_sum) * (scale[i] / s); });
  }
}

void add_group(const int32_t* __restrict sums, int64_t n, int32_t group_sum,
               const float* __restrict scale, int64_t step, float* __restrict totals) {
  for (int64_t i = 0; i < n; ++i) {
    totals[i] += static_cast<float>(sums[i] - group_sum) * scale[i * step];
  }
}

void finish_groups(const float* __restrict totals, int64_t n, float s, const RowView& residual,
                   const RowPlace& out) {
  const float factor = 1.0F / s;
  add_residual(n, residual, out, [=](int64_t i) { return totals[i] * factor; });
}

}  // namespace
}  // namespace setun::ops::cpu
