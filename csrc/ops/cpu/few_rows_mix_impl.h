// The two halves of one query's attention that are no products of few_rows_dot_impl.h: the softmax
// of its scores, M = max z, exp(z - M) summed in the tree of lanes_impl.h, and the weighted sum of
// the cached values, a lane for each column, position after position. Included by
// few_rows_kernels_impl.h only.
#pragma once

#include "ops/cpu/exp_impl.h"
#include "ops/cpu/few_rows_dot_impl.h"

namespace setun::ops::cpu {
namespace {

// A NaN may get past the maximum, not past the sum.
float softmax(float* x, int64_t n, float scale) {
  const float largest = lane_max(n, [=](int64_t i) { return x[i] * scale; });
  for (int64_t i = 0; i < n; ++i) {
    x[i] = exp_of(x[i] * scale - largest);
  }
  return blocked_sum(n, [=](int64_t k) { return x[k]; });
}

// Columns c .. c + 32 of the sum; B blocks side by side hide the latency of additions.
template <int B, class T>
void mix_blocks(const float* p, int64_t rows, const T* v, int64_t stride, float* sums) {
  Vector low[B][kParts], high[B][kParts];
  std::memset(low, 0, sizeof low);
  std::memset(high, 0, sizeof high);
  for (int64_t row = 0; row < rows; ++row) {
#pragma GCC unroll 2
    for (int b = 0; b < B; ++b) {
#pragma GCC unroll 4
      for (int part = 0; part < kParts; ++part) {
        const Halves wide = halves(v + row * stride + b * kDotBlock, part);
        low[b][part] += wide.low * p[row];
        high[b][part] += wide.high * p[row];
      }
    }
  }
  for (int b = 0; b < B; ++b) {
    float lanes[kDotBlock];
    std::memcpy(lanes, low[b], sizeof low[b]);
    std::memcpy(lanes + kHalf, high[b], sizeof high[b]);
    for (int c = 0; c < kDotBlock; ++c) {
      sums[b * kDotBlock + c] = lanes[place_of<T>(c)];
    }
  }
}

void mix(const float* p, const MatrixRows& v, int64_t columns, float total, OutRow out) {
  constexpr int kSideBySide = kWidth >= 16 ? 2 : 1;
  with_elements(v.first, [&](auto* values) {
    with_elements(out, [&](auto* row) {
      float sums[kSideBySide * kDotBlock];
      int64_t c = 0;
      const auto finish = [&](int64_t count) {
        for (int64_t i = 0; i < count; ++i) {
          store(row, c + i, sums[i] / total);
        }
        c += count;
      };
      while (c + kSideBySide * kDotBlock <= columns) {
        mix_blocks<kSideBySide>(p, v.count, values + c, v.stride, sums);
        finish(kSideBySide * kDotBlock);
      }
      while (c + kDotBlock <= columns) {
        mix_blocks<1>(p, v.count, values + c, v.stride, sums);
        finish(kDotBlock);
      }
      while (c < columns) {
        sums[0] = 0;
        for (int64_t s = 0; s < v.count; ++s) {
          sums[0] += load(values, s * v.stride + c) * p[s];
        }
        finish(1);
      }
    });
  });
}

}  // namespace
}  // namespace setun::ops::cpu
