// A token's vector in shared memory, held by a block of 256 threads, and what is done to it: block
// statistics, norms, the Hadamard transform, selection by magnitude. Every function is called by
// all threads and ends with the row visible to all of them, unless it says otherwise.
#pragma once

#include "reduce.cuh"

namespace setun::cuda {

constexpr int kRowThreads = 256, kRowWarps = kRowThreads / 32;
constexpr int kRowParts = 32;

// Where element i stands: a permutation of every 32 elements that keeps strides 1, 4, 16 and 256
// free of bank conflicts.
__device__ __forceinline__ int slot(int i) { return i ^ ((i >> 5) & 15) ^ ((i >> 4) & 16); }

struct Row {
  float* data;
  int columns;
  float* parts;   // [kRowParts] partial results
  int* counters;  // [64] zeroed at the start, each used once
  __device__ __forceinline__ float& operator[](int i) const { return data[slot(i)]; }
};

// |x| as an integer of the same order; NaN is above infinity.
__device__ __forceinline__ unsigned magnitude_key(float x) {
  return __float_as_uint(x) & 0x7fffffffu;
}

template <class F>
__device__ __forceinline__ void for_columns(const Row& row, const F& body) {
  for (int i = static_cast<int>(threadIdx.x); i < row.columns; i += kRowThreads) {
    body(i);
  }
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

// max|x|, NaN when any element is not finite.
__device__ __forceinline__ float largest_magnitude(const Row& row) {
  unsigned key = 0;
  for_columns(row, [&](int i) { key = max(key, magnitude_key(row[i])); });
  const float mine = __uint_as_float(__reduce_max_sync(kAllLanes, key));
  const float largest = across_warps(row, mine, [](float a, float b) {
    return __uint_as_float(max(__float_as_uint(a), __float_as_uint(b)));
  });
  return is_finite(largest) ? largest : quiet_nan();
}

// Sum of term(i) over the row, each block of 4096 by one warp; the blocks by halves, or in order.
// When it returns, every thread is past its reads of the row.
template <class Term>
__device__ __forceinline__ float row_sum(const Row& row, bool by_halves, const Term& term) {
  const int blocks = (row.columns + kSumBlock - 1) / kSumBlock;
  __syncthreads();
  for (int block = warp_id(); block < blocks; block += kRowWarps) {
    const int start = block * kSumBlock;
    const float sum =
        warp_sum(min(kSumBlock, row.columns - start), [&](int i) { return term(start + i); });
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

__device__ __forceinline__ void subtract_mean(const Row& row) {
  const float mean =
      row_sum(row, false, [&](int i) { return row[i]; }) / static_cast<float>(row.columns);
  for_columns(row, [&](int i) { row[i] -= mean; });
  __syncthreads();
}

// The factor of RMSNorm; a row above 1e18, or whose sum of squares overflows, is divided by its
// largest magnitude first.
__device__ __forceinline__ float rms_factor(const Row& row, float eps) {
  constexpr float kHuge = 1e18f;
  const float largest = largest_magnitude(row), n = static_cast<float>(row.columns);
  const float squares = row_sum(row, false, [&](int i) { return row[i] * row[i]; });
  if (largest <= kHuge && is_finite(squares)) {
    return 1.0f / sqrtf(squares / n + eps);
  }
  const float sum = row_sum(row, false, [&](int i) {
    const float v = row[i] / largest;
    return v * v;
  });
  return 1.0f / sqrtf(sum / n + eps / largest / largest) / largest;
}

__device__ __forceinline__ void scale_row(const Row& row, float factor, const float* gain) {
  for_columns(row, [&](int i) {
    const float v = row[i] * factor;
    row[i] = gain != nullptr ? v * gain[i] : v;
  });
  __syncthreads();
}

// The rounds h = 2^bit ... 2^(bit + kRounds - 1) of the Hadamard transform in registers: a thread
// holds the 2^kRounds elements that meet in them.
template <int kRounds>
__device__ __forceinline__ void hadamard_pass(const Row& row, int bit, float factor) {
  constexpr int kCount = 1 << kRounds;
  const int groups = row.columns >> kRounds;
  for (int g = static_cast<int>(threadIdx.x); g < groups; g += kRowThreads) {
    const int first = (g >> bit << (bit + kRounds)) | (g & ((1 << bit) - 1));
    float v[kCount];
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
      v[j] = row[first + (j << bit)];
    }
#pragma unroll
    for (int h = 1; h < kCount; h *= 2) {
#pragma unroll
      for (int j = 0; j < kCount; ++j) {
        if ((j & h) == 0) {
          const float a = v[j], b = v[j + h];
          v[j] = a + b;
          v[j + h] = a - b;
        }
      }
    }
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
      row[first + (j << bit)] = v[j] * factor;
    }
  }
  __syncthreads();
}

// Every block of `block` elements; the passes before the last multiply by 1, which changes nothing.
__device__ __forceinline__ void hadamard(const Row& row, int block) {
  const float factor = 1.0f / sqrtf(static_cast<float>(block));
  for (int bit = 0; (1 << bit) < block;) {
    const int left = 31 - __clz(block) - bit, rounds = min(left, 4);
    const float now = rounds == left ? factor : 1.0f;
    switch (rounds) {
      case 1:
        hadamard_pass<1>(row, bit, now);
        break;
      case 2:
        hadamard_pass<2>(row, bit, now);
        break;
      case 3:
        hadamard_pass<3>(row, bit, now);
        break;
      default:
        hadamard_pass<4>(row, bit, now);
    }
    bit += rounds;
  }
}

// How many columns fulfil a condition; each call uses a fresh counter.
template <class F>
__device__ __forceinline__ int count_columns(const Row& row, int counter, const F& condition) {
  int mine = 0;
  for_columns(row, [&](int i) { mine += condition(i) ? 1 : 0; });
  mine = __reduce_add_sync(kAllLanes, mine);
  if (lane_id() == 0 && mine > 0) {
    atomicAdd(&row.counters[counter], mine);
  }
  __syncthreads();
  return row.counters[counter];
}

// Which columns stay. Equal magnitudes go by index, so a row's selection is a key and the index of
// the last equal one that stays.
struct Selection {
  int keep, every;
  unsigned key;
  int last;
};

__device__ __forceinline__ Selection select_largest(const Row& row, int keep, int every) {
  Selection s{keep, every, 0, row.columns};
  if (keep == 0 || every < row.columns) {
    return s;
  }
  int counter = 0, at_least = row.columns;
  for (int bit = 30; bit >= 0; --bit) {
    const unsigned candidate = s.key | (1u << bit);
    const int count =
        count_columns(row, counter++, [&](int i) { return magnitude_key(row[i]) >= candidate; });
    if (count >= keep) {
      s.key = candidate;
      at_least = count;
    }
  }
  const int above = at_least - count_columns(row, counter++,
                                             [&](int i) { return magnitude_key(row[i]) == s.key; });
  if (at_least == keep) {
    return s;
  }
  int low = 0, high = row.columns - 1;  // the smallest index up to which enough equal ones stand
  while (low < high) {
    const int middle = (low + high) / 2;
    const int count = count_columns(
        row, counter++, [&](int i) { return i <= middle && magnitude_key(row[i]) == s.key; });
    if (above + count >= keep) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  s.last = low;
  return s;
}

__device__ __forceinline__ bool kept(const Row& row, const Selection& s, int i) {
  if (s.keep == 0) {
    return true;
  }
  const unsigned key = magnitude_key(row[i]);
  if (s.every >= row.columns) {
    return key > s.key || (key == s.key && i <= s.last);
  }
  const int first = i - i % s.every;
  int rank = 0;
  for (int other = first; other < first + s.every; ++other) {
    const unsigned k = magnitude_key(row[other]);
    rank += k > key || (k == key && other < i) ? 1 : 0;
  }
  return rank < s.keep;
}

}  // namespace setun::cuda
