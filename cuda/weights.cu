// A warp adds a block of 4096 elements or a whole group; a thread makes 16 codes, which are one
// word. Deliberately absent: the absmedian (a selection, not a sum).
#include "weights.h"

#include "reduce.cuh"
#include "weights.cuh"

namespace setun::cuda {
namespace {

constexpr int kWarps = 8, kThreads = 32 * kWarps;
constexpr int kTreeLevels = 24;  // of a thread's part of the tree: 2^(8 + 23) blocks of elements

unsigned warps_grid(int64_t count) { return static_cast<unsigned>(divide_up(count, kWarps)); }
unsigned threads_grid(int64_t count) { return static_cast<unsigned>(divide_up(count, kThreads)); }

}  // namespace

// The whole tensor's blocks, a warp each: partial[block] = sum |w|, partial[blocks + block] = sum
// w.
template <class T>
__global__ void __launch_bounds__(kThreads) block_sums_kernel(WeightScaleParams p) {
  const int64_t count = p.rows * p.columns, blocks = divide_up(count, kSumBlock);
  const int64_t block = static_cast<int64_t>(blockIdx.x) * kWarps + warp_id();
  if (block >= blocks) {
    return;
  }
  const int64_t start = block * kSumBlock;
  const T* w = static_cast<const T*>(p.w) + start;
  const int n = count - start < kSumBlock ? static_cast<int>(count - start) : kSumBlock;
  const float magnitude = warp_sum(n, [w](int i) { return magnitude_term(to_float(w[i])); });
  if (lane_id() == 0) {
    p.partial[block] = magnitude;
  }
  if (p.rule == WeightRule::kBinary) {
    const float sum = warp_sum(n, [w](int i) { return to_float(w[i]); });
    if (lane_id() == 0) {
      p.partial[blocks + block] = sum;
    }
  }
}

// One block: the tree by halves over any number of parts. At depth 8 each thread has a subtree,
// which it adds leaf by leaf with a stack in shared memory.
__device__ float thread_subtree(const float* parts, Leaf subtree, float (*stack)[kThreads]) {
  int depth = 0;
  while ((1 << depth) < subtree.length) {
    ++depth;
  }
  unsigned present = 0;
  float sum = 0;
  for (int j = 0; j < (1 << depth); ++j) {
    const Leaf leaf = leaf_of(subtree.length, j, depth);
    bool here = leaf.length == 1;
    sum = here ? parts[subtree.first + leaf.first] : 0.0f;
    int level = 0;
    for (; ((j >> level) & 1) != 0; ++level) {
      if (((present >> level) & 1) != 0) {  // the left half; it is there whenever the right one is
        sum = here ? stack[level][threadIdx.x] + sum : stack[level][threadIdx.x];
        here = true;
      }
    }
    stack[level][threadIdx.x] = sum;
    present = (present & ~(1u << level)) | (here ? 1u << level : 0u);
  }
  return sum;
}

__device__ float tree_total(const float* parts, int n, float (*stack)[kThreads]) {
  const Leaf subtree = leaf_of(n, static_cast<int>(threadIdx.x), 8);
  const float mine = subtree.length > 0 ? thread_subtree(parts, subtree, stack) : 0.0f;
  stack[0][threadIdx.x] = mine;
  for (int o = 1; o < kThreads; o *= 2) {
    __syncthreads();
    const int left = static_cast<int>(threadIdx.x) * 2 * o;
    if (left + o < kThreads && leaf_of(n, left + o, 8).length > 0) {
      // The right half holds something exactly when its first subtree does.
      stack[0][left] += stack[0][left + o];
    }
  }
  __syncthreads();
  return stack[0][0];
}

__global__ void __launch_bounds__(kThreads) tree_kernel(WeightScaleParams p) {
  SETUN_SHARED(float, stack, [kTreeLevels][kThreads]);
  const int64_t count = p.rows * p.columns;
  const int blocks = static_cast<int>(divide_up(count, kSumBlock));
  const float magnitude = tree_total(p.partial, blocks, stack);
  __syncthreads();
  const float sum =
      p.rule == WeightRule::kBinary ? tree_total(p.partial + blocks, blocks, stack) : 0.0f;
  if (threadIdx.x == 0) {
    store_statistic(p, 0, magnitude, sum, count);
  }
}

// Groups of a row, a warp each.
template <class T>
__global__ void __launch_bounds__(kThreads) group_scale_kernel(WeightScaleParams p) {
  SETUN_SHARED(float, parts, [kWarps][2][32]);
  const int64_t group = static_cast<int64_t>(blockIdx.x) * kWarps + warp_id();
  if (group * p.group >= p.rows * p.columns) {
    return;
  }
  const T* w = static_cast<const T*>(p.w) + group * p.group;
  const int n = static_cast<int>(p.group), blocks = (n + kSumBlock - 1) / kSumBlock;
  for (int block = 0; block < blocks; ++block) {
    const T* part = w + block * kSumBlock;
    const int length = min(kSumBlock, n - block * kSumBlock);
    const float magnitude =
        warp_sum(length, [part](int i) { return magnitude_term(to_float(part[i])); });
    const float sum = p.rule == WeightRule::kBinary
                          ? warp_sum(length, [part](int i) { return to_float(part[i]); })
                          : 0.0f;
    if (lane_id() == 0) {
      parts[warp_id()][0][block] = magnitude;
      parts[warp_id()][1][block] = sum;
    }
  }
  __syncwarp();
  const float magnitude = halves_sum(parts[warp_id()][0], blocks);
  const float sum = halves_sum(parts[warp_id()][1], blocks);
  if (lane_id() == 0) {
    store_statistic(p, group, magnitude, sum, p.group);
  }
}

// A thread makes the 16 codes of one word, four columns at a time.
template <class T>
__global__ void __launch_bounds__(kThreads) ternary_kernel(TernaryParams p) {
  const int64_t tiles = tiles_k(p.columns);
  const int64_t word = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (word >= ternary_words(p.rows, tiles)) {
    return;
  }
  const int64_t row = word / kTileWords / tiles * kTileN + word % kTileWords / 4;
  const int64_t first = word / kTileWords % tiles * kTileK + word % 4 * 4;
  uint32_t packed = 0;
  for (int j = 0; j < 4; ++j) {
    const int64_t column = first + 16 * j;
    int code[4] = {};
    if (row < p.rows && column < p.columns) {
      four_codes(p, static_cast<const T*>(p.w), row, column, code);
    }
    for (int b = 0; b < 4; ++b) {
      packed |= static_cast<uint32_t>(code[b] + 1) << (8 * b + 2 * j);
    }
  }
  if (p.packed != nullptr) {
    p.packed[word] = packed;
  }
}

__global__ void __launch_bounds__(kThreads) pack_kernel(PackParams p) {
  const int64_t rows = p.transpose ? p.columns : p.rows;
  const int64_t columns = p.transpose ? p.rows : p.columns;
  const int64_t tiles = tiles_k(columns);
  const int64_t word = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (word >= ternary_words(rows, tiles)) {
    return;
  }
  const int64_t row = word / kTileWords / tiles * kTileN + word % kTileWords / 4;
  const int64_t first = word / kTileWords % tiles * kTileK + word % 4 * 4;
  uint32_t packed = 0;
  for (int i = 0; i < 16; ++i) {
    const int64_t column = first + i / 4 * 16 + i % 4;
    int code = 0;
    if (row < rows && column < columns) {
      code = p.codes[p.transpose ? column * p.columns + row : row * p.columns + column];
    }
    packed |= static_cast<uint32_t>(code + 1) << (8 * (i % 4) + 2 * (i / 4));
  }
  p.packed[word] = packed;
}

// Four consecutive columns a thread: they are in one word.
__global__ void __launch_bounds__(kThreads) unpack_kernel(UnpackParams p) {
  const int64_t quads = divide_up(p.columns, 4), tiles = tiles_k(p.columns);
  const int64_t quad = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t row = quad / quads, column = quad % quads * 4;
  if (row >= p.rows) {
    return;
  }
  const uint32_t word = p.packed[ternary_word(row, column, tiles)] >> ternary_shift(column);
  for (int b = 0; b < 4 && column + b < p.columns; ++b) {
    const int code = static_cast<int>((word >> (8 * b)) & 3u) - 1;
    const int64_t at = row * p.columns + column + b;
    if (p.as_bf16 != nullptr) {
      p.as_bf16[at] = to_bf16(static_cast<float>(code));
    }
    if (p.as_int8 != nullptr) {
      p.as_int8[at] = static_cast<int8_t>(code);
    }
    if (p.as_fp32 != nullptr) {
      p.as_fp32[at] = static_cast<float>(code);
    }
  }
}

// A thread gathers the 16 codes of one word of the transpose.
__global__ void __launch_bounds__(kThreads) transpose_kernel(TransposeParams p) {
  const int64_t tiles = tiles_k(p.rows), from_tiles = tiles_k(p.columns);
  const int64_t word = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (word >= ternary_words(p.columns, tiles)) {
    return;
  }
  const int64_t row = word / kTileWords / tiles * kTileN + word % kTileWords / 4;
  const int64_t first = word / kTileWords % tiles * kTileK + word % 4 * 4;
  uint32_t packed = 0;
  for (int i = 0; i < 16; ++i) {
    const int64_t column = first + i / 4 * 16 + i % 4;
    uint32_t code = 1;  // a 0
    if (row < p.columns && column < p.rows) {
      code = p.packed[ternary_word(column, row, from_tiles)] >> ternary_shift(row) & 3u;
    }
    packed |= code << (8 * (i % 4) + 2 * (i / 4));
  }
  p.transposed[word] = packed;
}

// The padding holds zeros, so zeros are what is left of the matrix.
__global__ void __launch_bounds__(kThreads) count_kernel(CountParams p) {
  const int64_t words = ternary_words(p.rows, tiles_k(p.columns));
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  unsigned minus = 0, plus = 0;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < words;
       i += step) {
    const uint32_t word = p.packed[i], ones = word & 0x55555555u, twos = word & 0xaaaaaaaau;
    plus += static_cast<unsigned>(__popc(twos));
    minus += 16u - static_cast<unsigned>(__popc(ones) + __popc(twos));
  }
  minus = __reduce_add_sync(kAllLanes, minus);
  plus = __reduce_add_sync(kAllLanes, plus);
  if (lane_id() == 0) {
    const bool first = blockIdx.x == 0 && warp_id() == 0;
    const unsigned long long all =
        first ? static_cast<unsigned long long>(p.rows * p.columns) : 0ull;
    atomicAdd(&p.counts[0], static_cast<unsigned long long>(minus));
    atomicAdd(&p.counts[1], all - minus - plus);  // modulo 2^64 until the last one
    atomicAdd(&p.counts[2], static_cast<unsigned long long>(plus));
  }
}

int64_t weight_workspace(int64_t elements) { return 2 * divide_up(elements, kSumBlock); }

cudaError_t weight_scale(const WeightScaleParams& p, cudaStream_t stream) {
  const int64_t count = p.rows * p.columns;
  if (count < 1 || p.group < 0 || p.group > 32 * kSumBlock ||
      (p.group > 0 && p.columns % p.group != 0)) {
    return cudaErrorInvalidValue;
  }
  const dim3 threads(kThreads);
  if (p.group > 0) {
    const dim3 grid(warps_grid(count / p.group));
    return p.is_bf16 ? launch(group_scale_kernel<bf16>, grid, threads, 0, stream, p)
                     : launch(group_scale_kernel<float>, grid, threads, 0, stream, p);
  }
  const dim3 grid(warps_grid(divide_up(count, kSumBlock)));
  const cudaError_t error = p.is_bf16
                                ? launch(block_sums_kernel<bf16>, grid, threads, 0, stream, p)
                                : launch(block_sums_kernel<float>, grid, threads, 0, stream, p);
  return error != cudaSuccess ? error : weight_scale_of_partial(p, stream);
}

cudaError_t weight_scale_of_partial(const WeightScaleParams& p, cudaStream_t stream) {
  return launch(tree_kernel, dim3(1), dim3(kThreads), 0, stream, p);
}

cudaError_t ternary_codes(const TernaryParams& p, cudaStream_t stream) {
  if (p.rows < 1 || p.columns < 1 || (p.group > 0 && p.columns % p.group != 0)) {
    return cudaErrorInvalidValue;
  }
  const dim3 grid(threads_grid(ternary_words(p.rows, tiles_k(p.columns))));
  return p.is_bf16 ? launch(ternary_kernel<bf16>, grid, dim3(kThreads), 0, stream, p)
                   : launch(ternary_kernel<float>, grid, dim3(kThreads), 0, stream, p);
}

cudaError_t pack_ternary(const PackParams& p, cudaStream_t stream) {
  const int64_t rows = p.transpose ? p.columns : p.rows;
  const int64_t columns = p.transpose ? p.rows : p.columns;
  const dim3 grid(threads_grid(ternary_words(rows, tiles_k(columns))));
  return launch(pack_kernel, grid, dim3(kThreads), 0, stream, p);
}

cudaError_t unpack_ternary(const UnpackParams& p, cudaStream_t stream) {
  const dim3 grid(threads_grid(p.rows * divide_up(p.columns, 4)));
  return launch(unpack_kernel, grid, dim3(kThreads), 0, stream, p);
}

cudaError_t transpose_ternary(const TransposeParams& p, cudaStream_t stream) {
  const dim3 grid(threads_grid(ternary_words(p.columns, tiles_k(p.rows))));
  return launch(transpose_kernel, grid, dim3(kThreads), 0, stream, p);
}

cudaError_t count_codes(const CountParams& p, cudaStream_t stream) {
  constexpr int64_t kMostBlocks = 512;
  const int64_t blocks = divide_up(ternary_words(p.rows, tiles_k(p.columns)), kThreads);
  const dim3 grid(static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks));
  return launch(count_kernel, grid, dim3(kThreads), 0, stream, p);
}

}  // namespace setun::cuda
