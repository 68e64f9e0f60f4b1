// Which columns of a row stay: the `keep` largest magnitudes of every `every` columns, equal ones
// by index, the first first. Over the whole row by radix selection, eight bits a walk: a histogram
// of the next digit tells which value of it the keep-th largest has. No sorting; smaller groups
// count ranks among themselves.
#pragma once

#include "token_row.cuh"

namespace setun::cuda {

// A histogram has copies, so that fewer lanes of equal digits meet in one counter.
constexpr unsigned kDigits = 256, kCopies = 4;
static_assert(kDigits == kRowThreads, "a thread clears the copies of one digit");

// Of the whole row: columns above the key stay, and those that have it up to index `last`.
struct Selection {
  int keep, every;
  unsigned key;
  int last;
};

// What a walk finds: the digit of the rank-th largest column that was counted, its rank among those
// that share the digit, and how many do.
struct Digit {
  unsigned value, rank, equal;
};

// The first warp walks down the histogram, eight digits a lane, lane 0 the largest.
__device__ __forceinline__ void find_digit(const Row& row, const unsigned* histogram,
                                           unsigned rank) {
  constexpr unsigned kPerLane = kDigits / 32;
  const unsigned top = kDigits - 1 - static_cast<unsigned>(lane_id()) * kPerLane;
  unsigned count[kPerLane], sum = 0;
#pragma unroll
  for (unsigned j = 0; j < kPerLane; ++j) {
    const uint4 c = *reinterpret_cast<const uint4*>(histogram + (top - j) * kCopies);
    count[j] = c.x + c.y + c.z + c.w;
    sum += count[j];
  }
  unsigned above = sum;  // columns with a larger digit, once the lane's own are taken off
  for (int o = 1; o < 32; o *= 2) {
    const unsigned other = __shfl_up_sync(kAllLanes, above, o);
    above += lane_id() >= o ? other : 0;
  }
  above -= sum;
#pragma unroll
  for (unsigned j = 0; j < kPerLane; ++j) {
    if (above < rank && rank <= above + count[j]) {
      row.counters[kDigit] = top - j;
      row.counters[kRank] = rank - above;
      row.counters[kEqual] = count[j];
    }
    above += count[j];
  }
}

// digit(i, key) of a column that counts is below kDigits.
template <class F>
__device__ __forceinline__ Digit select_digit(const Row& row, unsigned* histogram, unsigned rank,
                                              const F& digit) {
  *reinterpret_cast<uint4*>(histogram + threadIdx.x * kCopies) = make_uint4(0, 0, 0, 0);
  __syncthreads();  // cleared
  for_quads(row, [&](int first, const float* quad) {
    float v[4];
    load_four(quad, v);
    for (int b = 0; b < 4; ++b) {
      const unsigned d = digit(first + b, magnitude_key(v[b]));
      if (d < kDigits) {
        atomicAdd(&histogram[d * kCopies + threadIdx.x % kCopies], 1u);
      }
    }
  });
  __syncthreads();  // counted
  if (warp_id() == 0) {
    find_digit(row, histogram, rank);
  }
  __syncthreads();  // found
  return {row.counters[kDigit], row.counters[kRank], row.counters[kEqual]};
}

// `histogram` is shared memory for kDigits * kCopies counts. The zeros that fill the last quad are
// counted too: they come after every column, so they change nothing.
__device__ __forceinline__ Selection select_largest(const Row& row, int keep, int every,
                                                    unsigned* histogram) {
  Selection s{keep, every, 0, row.columns};
  if (keep == 0 || every < row.columns) {
    return s;
  }
  Digit d{0, static_cast<unsigned>(keep), static_cast<unsigned>(row.columns)};
  unsigned prefix = 0;  // the digits so far of twice the key, whose first one is the exponent
  for (int shift = 24; shift >= 0 && d.rank < d.equal; shift -= 8) {
    d = select_digit(row, histogram, d.rank,
                     [&](int, unsigned key) { return (2 * key - prefix) >> shift; });
    prefix |= d.value << shift;
  }
  s.key = prefix / 2;
  constexpr unsigned kLast = 0xffff;  // equal ones by index: the smallest has the largest kLast - i
  unsigned from = 0;
  for (int shift = 8; shift >= 0 && d.rank < d.equal; shift -= 8) {
    d = select_digit(row, histogram, d.rank, [&](int i, unsigned key) {
      return key == s.key ? (kLast - static_cast<unsigned>(i) - from) >> shift : kDigits;
    });
    from |= d.value << shift;
    s.last = static_cast<int>(kLast - from);
  }
  return s;
}

// Whether column i, whose value is x, stays. Groups are read from the row: it is visible to all.
__device__ __forceinline__ bool kept(const Row& row, const Selection& s, int i, float x) {
  const unsigned key = magnitude_key(x);
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
