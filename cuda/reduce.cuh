// Sums and maxima of a warp and of a block in the canonical order of docs/numerics.md: blocks of
// 4096 elements, element i of a block added to lane i % 32, the lanes pairwise, the blocks by
// halves (or in order, in norms). Addition commutes, so a xor shuffle is the pairwise tree.
#pragma once

#include "gpu.h"
#include "layouts.h"

namespace setun::cuda {

constexpr unsigned kAllLanes = 0xffffffffu;
constexpr int kSumBlock = 4096;
constexpr float kRound = 12582912.0f;  // 1.5 * 2^23

__device__ __forceinline__ int lane_id() { return static_cast<int>(threadIdx.x % 32); }
__device__ __forceinline__ int warp_id() { return static_cast<int>(threadIdx.x / 32); }
__device__ __forceinline__ float quiet_nan() { return __uint_as_float(0x7fc00000u); }
__device__ __forceinline__ bool is_finite(float x) { return fabsf(x) <= 3.402823466e38f; }

// clip(rne(v), low, high) for integers low and high: as rounding keeps order, the clip comes first,
// and the integer stands in the low bits of v + 1.5 * 2^23. NaN gives low.
__device__ __forceinline__ int rounded_code(float v, float low, float high) {
  const float shifted = fminf(fmaxf(v, low), high) + kRound;
  return static_cast<int>(__float_as_uint(shifted) - __float_as_uint(kRound));
}

__device__ __forceinline__ float lanes_sum(float v) {
  for (int o = 1; o < 32; o *= 2) {
    v += __shfl_xor_sync(kAllLanes, v, o);
  }
  return v;
}

__device__ __forceinline__ float lanes_max(float v) {
  for (int o = 1; o < 32; o *= 2) {
    v = fmaxf(v, __shfl_xor_sync(kAllLanes, v, o));
  }
  return v;
}

// Sum of term(i), i < n <= kSumBlock, by one warp; every lane gets it. kAtOnce terms are under way
// at once.
template <int kAtOnce = 1, class Term>
__device__ __forceinline__ float warp_sum(int n, const Term& term) {
  float sum = 0;
  int i = lane_id();
  if constexpr (kAtOnce > 1) {
#pragma unroll 1
    for (; i + 32 * (kAtOnce - 1) < n; i += 32 * kAtOnce) {
      float v[kAtOnce];
#pragma unroll
      for (int j = 0; j < kAtOnce; ++j) {
        v[j] = term(i + 32 * j);
      }
#pragma unroll
      for (int j = 0; j < kAtOnce; ++j) {
        sum += v[j];
      }
    }
  }
  for (; i < n; i += 32) {
    sum += term(i);
  }
  return lanes_sum(sum);
}

// Sum of term(i), i < n, by a block of kWarps warps: blocks of kSumBlock elements, a warp each,
// added in order; every thread gets it. parts [blocks] is shared memory that nobody reads any more.
template <int kWarps, int kAtOnce = 1, class Term>
__device__ __forceinline__ float sum_of_blocks(int n, float* parts, const Term& term) {
  const int blocks = (n + kSumBlock - 1) / kSumBlock;
  for (int block = warp_id(); block < blocks; block += kWarps) {
    const int start = block * kSumBlock;
    const float sum =
        warp_sum<kAtOnce>(min(kSumBlock, n - start), [&](int i) { return term(start + i); });
    if (lane_id() == 0) {
      parts[block] = sum;
    }
  }
  __syncthreads();
  float total = 0;
  for (int block = 0; block < blocks; ++block) {
    total += parts[block];
  }
  return total;
}

// What a lane holds of a tree over n <= 32 leaves that splits by halves, the left one larger: the
// leaf `first`, or nothing.
struct Leaf {
  int first, length;
};
__device__ __forceinline__ Leaf leaf_of(int n, int index, int depth) {
  Leaf leaf{0, n};
  for (int bit = depth - 1; bit >= 0; --bit) {
    const int left = (leaf.length + 1) / 2;
    const bool right = ((index >> bit) & 1) != 0;
    leaf.first += right ? left : 0;
    leaf.length = right ? leaf.length - left : left;
  }
  return leaf;
}

// The tree by halves over parts[0..n), n <= 32, by one warp; every lane gets the sum.
__device__ __forceinline__ float halves_sum(const float* parts, int n) {
  const Leaf leaf = leaf_of(n, lane_id(), 5);
  bool here = leaf.length == 1;
  float sum = here ? parts[leaf.first] : 0.0f;
  for (int o = 1; o < 32; o *= 2) {
    const float other = __shfl_xor_sync(kAllLanes, sum, o);
    const bool other_here = __shfl_xor_sync(kAllLanes, static_cast<int>(here), o) != 0;
    if (here && other_here) {
      sum += other;
    } else if (other_here) {
      sum = other;
    }
    here = here || other_here;
  }
  return sum;
}

}  // namespace setun::cuda
