// Row kernels of selection by magnitude. Included by row_kernels_impl.h only.
#pragma once

#include <cstdint>
#include <cstring>

#include "ops/cpu/row_kernels.h"
#include "ops/cpu/select.h"

namespace setun::ops::cpu {
namespace {

// |x| as an integer of the same order; signed, because every instruction set compares those.
inline int32_t magnitude_key(float x) {
  int32_t bits = 0;
  std::memcpy(&bits, &x, sizeof bits);
  return bits & 0x7FFFFFFF;
}

int64_t count_at_least(const float* x, int64_t n, uint32_t key) {
  constexpr int64_t kBlock = int64_t{1} << 20;  // whose counts fit 32 bits
  const auto least = static_cast<int32_t>(key);
  int64_t total = 0;
  for (int64_t start = 0; start < n; start += kBlock) {
    const int64_t end = n - start < kBlock ? n : start + kBlock;
    int32_t count = 0;
    for (int64_t i = start; i < end; ++i) {
      count += magnitude_key(x[i]) >= least ? 1 : 0;
    }
    total += count;
  }
  return total;
}

// Short rows: the rank of every element is counted against every other.
void short_top_mask(const float* x, int64_t k, int64_t keep, bool* mask) {
  int32_t key[kShortRow], rank[kShortRow] = {};
  for (int64_t i = 0; i < k; ++i) {
    key[i] = magnitude_key(x[i]);
  }
  for (int64_t other = 0; other < k; ++other) {
    for (int64_t i = 0; i < k; ++i) {
      // an equal one stands before i when its index is lower
      rank[i] += key[other] > key[i] - (i > other ? 1 : 0) ? 1 : 0;
    }
  }
  for (int64_t i = 0; i < k; ++i) {
    mask[i] = rank[i] < keep;
  }
}

void top_mask(const float* x, int64_t k, int64_t keep, bool* mask) {
  if (k <= kShortRow) {
    short_top_mask(x, k, keep, mask);
    return;
  }
  const auto least = static_cast<int32_t>(
      ranked_key(keep, [&](uint32_t key) { return count_at_least(x, k, key); }));
  int64_t surplus = -keep;  // equals of the smallest kept that are one too many
  for (int64_t i = 0; i < k; ++i) {
    mask[i] = magnitude_key(x[i]) >= least;
    surplus += mask[i] ? 1 : 0;
  }
  for (int64_t i = k - 1; surplus > 0; --i) {
    if (magnitude_key(x[i]) == least) {
      mask[i] = false;
      --surplus;
    }
  }
}

}  // namespace
}  // namespace setun::ops::cpu
