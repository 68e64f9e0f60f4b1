// From the 32-bit sums of a ternary product to its fp32 or bf16 result, for a block of rows and the
// outputs of a panel or tile:
//   one scale group a row:  y = float(sum - row_sum) * (scale / s);
//   several:                y = (sum over groups of float(sum - group_sum) * scale) * (1 / s);
// then y + residual, rounded once to the output type. Included by the ternary_kernels_*.cpp only.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

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
template <class Count, class Value>
inline void store_row(Count n, const RowPlace& out, const Value& value) {
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

template <class Count, class Value>
inline void add_residual(Count n, const RowView& residual, const RowPlace& out,
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

// row(m, count) for every row of the block; whole panels have a constant count, which compilers
// turn into straight code.
template <class Row>
inline void for_each_row(const OutputBlock& block, const Row& row) {
  for (int64_t m = 0; m < block.rows; ++m) {
    if (block.outputs == kPanelRows) {
      row(m, std::integral_constant<int64_t, kPanelRows>());
    } else {
      row(m, block.outputs);
    }
  }
}

void finish_rows(const OutputBlock& block, const int32_t* sums, const int32_t* row_sums,
                 const float* scale, int64_t step) {
  for_each_row(block, [&](int64_t m, auto n) {
    const int32_t* __restrict row = sums + m * block.width;
    const int32_t row_sum = row_sums[m];
    const float s = block.s[m];
    if (step == 0) {
      const float factor = scale[0] / s;
      add_residual(n, block.residual_row(m), block.out_row(m),
                   [=](int64_t i) { return static_cast<float>(row[i] - row_sum) * factor; });
    } else {
      add_residual(n, block.residual_row(m), block.out_row(m), [=](int64_t i) {
        return static_cast<float>(row[i] - row_sum) * (scale[i] / s);
      });
    }
  });
}

void add_group(const OutputBlock& block, const int32_t* sums, const int32_t* group_sums,
               int64_t sum_step, const float* scale, int64_t step, float* totals) {
  for (int64_t m = 0; m < block.rows; ++m) {
    const int32_t* __restrict row = sums + m * block.width;
    float* __restrict total = totals + m * block.width;
    for (int64_t i = 0; i < block.outputs; ++i) {
      total[i] += static_cast<float>(row[i] - group_sums[m * sum_step]) * scale[i * step];
    }
  }
}

void finish_groups(const OutputBlock& block, const float* totals) {
  for_each_row(block, [&](int64_t m, auto n) {
    const float* __restrict row = totals + m * block.width;
    const float factor = 1.0F / block.s[m];
    add_residual(n, block.residual_row(m), block.out_row(m),
                 [=](int64_t i) { return row[i] * factor; });
  });
}

}  // namespace
}  // namespace setun::ops::cpu
