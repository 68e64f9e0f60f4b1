// From the 32-bit sums of a ternary product to its fp32 or bf16 result, for a block of rows and the
// outputs of a panel or tile:
//   one scale group a row:  y = float(sum - row_sum) * (scale / s);
//   several:                y = (sum over groups of float(sum - group_sum) * scale) * (1 / s);
// then y + residual, rounded once to the output type. Included by the ternary_kernels_*.cpp only.
#pragma once

#include <cstdint>

#include "ops/cpu/elements_impl.h"
#include "ops/cpu/ternary_kernels.h"

namespace setun::ops::cpu {
namespace {

// out = value(m, i) + residual for every row m and output i of the block; row(m) prepares value(m).
// Whole panels have a constant number of outputs, which compilers turn into straight code.
template <class Out, class Row, class Residual>
inline void store_rows(const OutputBlock& block, Out* out, const Row& row,
                       const Residual& residual) {
  for (int64_t m = 0; m < block.rows; ++m) {
    Out* __restrict y = out + m * block.stride;
    const auto value = row(m);
    if (block.outputs == kPanelRows) {
      for (int64_t i = 0; i < kPanelRows; ++i) {
        store(y, i, residual(value(i), m, i));
      }
    } else {
      for (int64_t i = 0; i < block.outputs; ++i) {
        store(y, i, residual(value(i), m, i));
      }
    }
  }
}

template <class Row>
inline void finish(const OutputBlock& block, const Row& row) {
  with_elements(block.out, [&](auto* out) {
    if (block.residual.data == nullptr) {
      store_rows(block, out, row, [](float y, int64_t, int64_t) { return y; });
      return;
    }
    with_elements(block.residual, [&](auto* residual) {
      store_rows(block, out, row, [=, stride = block.stride](float y, int64_t m, int64_t i) {
        return y + load(residual, m * stride + i);
      });
    });
  });
}

void finish_rows(const OutputBlock& block, const int32_t* sums, const int32_t* row_sums,
                 const float* scale, int64_t step) {
  const auto difference = [=, width = block.width](int64_t m) {
    return [row = sums + m * width, row_sum = row_sums[m]](int64_t i) {
      return static_cast<float>(row[i] - row_sum);
    };
  };
  if (step == 0) {
    finish(block, [&](int64_t m) {
      return [acc = difference(m), factor = scale[0] / block.s[m]](int64_t i) {
        return acc(i) * factor;
      };
    });
  } else {
    finish(block, [&](int64_t m) {
      return [acc = difference(m), s = block.s[m], scale](int64_t i) {
        return acc(i) * (scale[i] / s);
      };
    });
  }
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
  finish(block, [&](int64_t m) {
    return [row = totals + m * block.width, factor = 1.0F / block.s[m]](int64_t i) {
      return row[i] * factor;
    };
  });
}

}  // namespace
}  // namespace setun::ops::cpu
