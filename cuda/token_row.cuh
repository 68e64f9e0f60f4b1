// A token's vector in shared memory, held by a block of 256 threads, and what is done to it: block
// statistics, norms, the Hadamard transform. A thread owns every 256th quad (four neighbouring
// columns); what a short last quad lacks are zeros. Every function is called by all threads. A pass
// over quads ends without a barrier, because the next one reads only what its own thread wrote.
#pragma once

#include "reduce.cuh"
#include "vectors.cuh"

namespace setun::cuda {

constexpr int kRowThreads = 256, kRowWarps = kRowThreads / 32;
constexpr int kRowParts = 32;

// Where element i stands. Quads stay together; they are permuted in every 32 elements so that
// elements at strides of 1, 16 and 256 and quads at strides of 1 and 4 fall in distinct banks.
__device__ __forceinline__ int slot(int i) { return i ^ ((i >> 3) & 12) ^ ((i >> 4) & 16); }

// Shared integers of the block, 0 at the first barrier.
enum Counter { kNormLargest, kGridLargest, kDigit, kRank, kEqual, kCounters };

struct Row {
  float* data;
  int columns;
  bool fours;          // a constant: rows, here and in global memory, are whole and aligned quads
  float* parts;        // [kRowParts] partial results
  unsigned* counters;  // [kCounters]
  __device__ __forceinline__ float& operator[](int i) const { return data[slot(i)]; }
  __device__ __forceinline__ float* quad(int first) const { return data + slot(first); }
  // Element i + step, given slot(i) and a constant step whose bits i does not have.
  __device__ __forceinline__ float* at(int slot_of_i, int step) const {
    const int s = slot(step);
    return data + (slot_of_i ^ (s & 31)) + (s & ~31);
  }
};

// |x| as an integer of the same order; NaN is above infinity.
__device__ __forceinline__ unsigned magnitude_key(float x) {
  return __float_as_uint(x) & 0x7fffffffu;
}
__device__ __forceinline__ unsigned largest_key(const float (&v)[4]) {
  return max(max(magnitude_key(v[0]), magnitude_key(v[1])),
             max(magnitude_key(v[2]), magnitude_key(v[3])));
}

// body(first, quad) for the thread's quads: its first column and where it stands. slot() permutes
// less than the distance between them.
template <class F>
__device__ __forceinline__ void for_quads(const Row& row, const F& body) {
  int first = 4 * static_cast<int>(threadIdx.x);
#pragma unroll 1
  for (float* quad = row.quad(first); first < row.columns; quad += 4 * kRowThreads) {
    body(first, quad);
    first += 4 * kRowThreads;
  }
}

// change(first, v) for the thread's quads; the largest key of what it leaves in them.
template <class F>
__device__ __forceinline__ unsigned change_quads(const Row& row, const F& change) {
  unsigned key = 0;
  for_quads(row, [&](int first, float* quad) {
    float v[4];
    load_four(quad, v);
    change(first, v);
    if (!row.fours && first + 4 > row.columns) {
      for (int b = 0; b < 4; ++b) {
        v[b] = first + b < row.columns ? v[b] : 0.0f;
      }
    }
    store_four(quad, v);
    key = max(key, largest_key(v));
  });
  return key;
}

// Combines a value of every warp: parts[w] = mine; returns combine over all warps.
template <class F>
__device__ __forceinline__ float across_warps(const Row& row, float mine, const F& combine) {
  __syncthreads();  // parts may still be read
  if (lane_id() == 0) {
    row.parts[warp_id()] = mine;
  }
  __syncthreads();
  float all = row.parts[0];
  for (int w = 1; w < kRowWarps; ++w) {
    all = combine(all, row.parts[w]);
  }
  return all;
}

// max|x| of the row from the largest keys of its threads: each offers its own, and after a barrier
// all may read the result, which is NaN when any element is not finite.
__device__ __forceinline__ void offer_key(const Row& row, Counter counter, unsigned key) {
  key = __reduce_max_sync(kAllLanes, key);
  if (lane_id() == 0) {
    atomicMax(&row.counters[counter], key);
  }
}
__device__ __forceinline__ float largest_offered(const Row& row, Counter counter) {
  const float largest = __uint_as_float(row.counters[counter]);
  return is_finite(largest) ? largest : quiet_nan();
}

// The sum of warp_sum() of term(x) over columns start to end, eight reads at once.
template <class Term>
__device__ __forceinline__ float warp_row_sum(const Row& row, int start, int end,
                                              const Term& term) {
  constexpr int kAtOnce = 8;
  float sum = 0;
  int i = start + lane_id();
  for (; i + 32 * (kAtOnce - 1) < end; i += 32 * kAtOnce) {
    const int base = slot(i);
    float v[kAtOnce];
#pragma unroll
    for (int j = 0; j < kAtOnce; ++j) {
      v[j] = *row.at(base, 32 * j);
    }
#pragma unroll
    for (int j = 0; j < kAtOnce; ++j) {
      sum += term(v[j]);
    }
  }
#pragma unroll 1
  for (; i < end; i += 32) {
    sum += term(row[i]);
  }
  return lanes_sum(sum);
}

// Sum of term(x) over the row, each block of 4096 by one warp; the blocks by halves, or in order.
// It begins with a barrier, and when it returns every thread is past its reads of the row.
template <class Term>
__device__ __forceinline__ float row_sum(const Row& row, bool by_halves, const Term& term) {
  const int blocks = (row.columns + kSumBlock - 1) / kSumBlock;
  __syncthreads();
  for (int block = warp_id(); block < blocks; block += kRowWarps) {
    const int start = block * kSumBlock;
    const float sum = warp_row_sum(row, start, min(start + kSumBlock, row.columns), term);
    if (lane_id() == 0) {
      row.parts[block] = sum;
    }
  }
  __syncthreads();
  if (by_halves) {
    return halves_sum(row.parts, blocks);
  }
  float total = 0;
  for (int block = 0; block < blocks; ++block) {
    total += row.parts[block];
  }
  return total;
}

__device__ __forceinline__ unsigned subtract_mean(const Row& row) {
  const float mean =
      row_sum(row, false, [](float x) { return x; }) / static_cast<float>(row.columns);
  return change_quads(row, [&](int, float(&v)[4]) {
    for (float& x : v) {
      x -= mean;
    }
  });
}

// The factor of RMSNorm; a row above 1e18, or whose sum of squares overflows, is divided by its
// largest magnitude first. `key` is the largest of the thread's quads.
__device__ __forceinline__ float rms_factor(const Row& row, unsigned key, float eps) {
  constexpr float kHuge = 1e18f;
  offer_key(row, kNormLargest, key);
  const float squares = row_sum(row, false, [](float x) { return x * x; });
  const float largest = largest_offered(row, kNormLargest), n = static_cast<float>(row.columns);
  if (largest <= kHuge && is_finite(squares)) {
    return 1.0f / sqrtf(squares / n + eps);
  }
  const float sum = row_sum(row, false, [&](float x) {
    const float v = x / largest;
    return v * v;
  });
  return 1.0f / sqrtf(sum / n + eps / largest / largest) / largest;
}

__device__ __forceinline__ unsigned scale_row(const Row& row, float factor, const float* gain) {
  return change_quads(row, [&](int first, float(&v)[4]) {
    for (float& x : v) {
      x *= factor;
    }
    if (gain != nullptr) {
      float g[4];
      load_columns(gain, first, row.columns, row.fours, g);
      for (int b = 0; b < 4; ++b) {
        v[b] *= g[b];
      }
    }
  });
}

// The rounds h = 2^kBit ... 2^(kBit + kRounds - 1) of the Hadamard transform in registers: a thread
// holds the 2^kRounds elements that meet in them. kInQuads: they are neighbours, four an access.
template <int kBit, int kRounds>
__device__ __forceinline__ void hadamard_pass(const Row& row, bool last, float factor) {
  constexpr int kCount = 1 << kRounds;
  constexpr bool kInQuads = kBit == 0 && kRounds >= 2;
  const int groups = row.columns >> kRounds;
  for (int g = static_cast<int>(threadIdx.x); g < groups; g += kRowThreads) {
    const int base = slot((g >> kBit << (kBit + kRounds)) | (g & ((1 << kBit) - 1)));
    float v[kCount / 4 + 1][4];
    const auto x = [&](int j) -> float& { return v[j / 4][j % 4]; };
#pragma unroll
    for (int j = 0; j < kCount; j += kInQuads ? 4 : 1) {
      if constexpr (kInQuads) {
        load_four(row.at(base, j), v[j / 4]);
      } else {
        x(j) = *row.at(base, j << kBit);
      }
    }
#pragma unroll
    for (int h = 1; h < kCount; h *= 2) {
#pragma unroll
      for (int j = 0; j < kCount; ++j) {
        if ((j & h) == 0) {
          const float a = x(j), b = x(j + h);
          x(j) = a + b;
          x(j + h) = a - b;
        }
      }
    }
    if (last) {
#pragma unroll
      for (int j = 0; j < kCount; ++j) {
        x(j) *= factor;
      }
    }
#pragma unroll
    for (int j = 0; j < kCount; j += kInQuads ? 4 : 1) {
      if constexpr (kInQuads) {
        store_four(row.at(base, j), v[j / 4]);
      } else {
        *row.at(base, j << kBit) = x(j);
      }
    }
  }
  __syncthreads();
}

// The first of `rounds` rounds from kBit on, at most four at once.
template <int kBit>
__device__ __forceinline__ void hadamard_rounds(const Row& row, int rounds, float factor) {
  switch (rounds) {
    case 1:
      return hadamard_pass<kBit, 1>(row, true, factor);
    case 2:
      return hadamard_pass<kBit, 2>(row, true, factor);
    case 3:
      return hadamard_pass<kBit, 3>(row, true, factor);
    default:
      return hadamard_pass<kBit, 4>(row, rounds == 4, factor);
  }
}

// Transforms every `block` columns, 2 to 2^14; returns the largest key of the thread's quads.
__device__ __forceinline__ unsigned hadamard(const Row& row, int block) {
  const float factor = 1.0f / sqrtf(static_cast<float>(block));
  const int rounds = 31 - __clz(block);
  __syncthreads();  // elements of other threads' quads come next
  hadamard_rounds<0>(row, rounds, factor);
  if (rounds > 4) {
    hadamard_rounds<4>(row, rounds - 4, factor);
  }
  if (rounds > 8) {
    hadamard_rounds<8>(row, rounds - 8, factor);
  }
  if (rounds == 13) {
    hadamard_pass<12, 1>(row, true, factor);
  }
  if (rounds == 14) {
    hadamard_pass<12, 2>(row, true, factor);
  }
  unsigned key = 0;
  for_quads(row, [&](int, const float* quad) {
    float v[4];
    load_four(quad, v);
    key = max(key, largest_key(v));
  });
  return key;
}

}  // namespace setun::cuda
