// Sums over any number of elements in the canonical order (docs/numerics.md): blocks of kSumBlock,
// then the pairwise tree over their sums.
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <vector>

#include "ops/cpu/row_kernels.h"
#include "ops/cpu/rows.h"

namespace setun::ops::cpu {

// part(begin, count) for every block of n elements, in order; over threads on request.
template <class Part>
std::vector<float> block_values(int64_t n, bool threads, const Part& part) {
  const int64_t blocks = (n + kSumBlock - 1) / kSumBlock;
  std::vector<float> values(static_cast<std::size_t>(blocks));
  const auto fill = [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t start = block * kSumBlock;
      values[static_cast<std::size_t>(block)] = part(start, std::min(kSumBlock, n - start));
    }
  };
  if (threads) {
    at::parallel_for(0, blocks, kGrain / kSumBlock, fill);
  } else {
    fill(0, blocks);
  }
  return values;
}

// Sum of |x| (kernels.abs_sum) or of x (kernels.sum).
inline float canonical_total(float (*block_sum)(const float*, int64_t), const float* x, int64_t n,
                             bool threads) {
  if (n <= kSumBlock) {
    return block_sum(x, n);
  }
  const std::vector<float> sums = block_values(
      n, threads, [&](int64_t begin, int64_t count) { return block_sum(x + begin, count); });
  return sum_tree(sums.data(), static_cast<int64_t>(sums.size()));
}

}  // namespace setun::ops::cpu
