// A thread makes four neighbouring elements, or one byte of two codes; a warp adds a chunk.
#include "elements.h"

#include "draws.cuh"
#include "reduce.cuh"
#include "vectors.cuh"

namespace setun::cuda {

constexpr int kElementThreads = 256;
constexpr int kSquareChunk = 16384, kSquareWarps = kElementThreads / 32;

__device__ __forceinline__ int64_t global_thread() {
  return static_cast<int64_t>(blockIdx.x) * kElementThreads + threadIdx.x;
}

template <class T>
__global__ void __launch_bounds__(kElementThreads) dequantize_kernel(DequantizeParams p) {
  const int64_t quads = divide_up(p.columns, 4), index = global_thread();
  const int64_t row = index / quads, column = index % quads * 4;
  if (row >= p.rows) {
    return;
  }
  const int64_t at = row * p.columns + column;
  T* y = static_cast<T*>(p.y) + at;
  const float scale = p.scale[row];
  if (p.columns % 4 == 0) {
    const char4 c = *reinterpret_cast<const char4*>(p.codes + at);
    const float v[4] = {static_cast<float>(c.x) / scale, static_cast<float>(c.y) / scale,
                        static_cast<float>(c.z) / scale, static_cast<float>(c.w) / scale};
    store_four(y, v);
    return;
  }
  for (int b = 0; b < 4 && column + b < p.columns; ++b) {
    store(y + b, static_cast<float>(p.codes[at + b]) / scale);
  }
}

__global__ void __launch_bounds__(kElementThreads) pack_int4_kernel(Int4Params p) {
  const int64_t bytes = divide_up(p.columns, 2), index = global_thread();
  const int64_t row = index / bytes, column = index % bytes * 2;
  if (row >= p.rows) {
    return;
  }
  const int8_t* codes = p.codes + row * p.columns + column;
  const int low = codes[0] & 15, high = column + 1 < p.columns ? codes[1] & 15 : 0;
  p.packed[index] = static_cast<uint8_t>(low | high << 4);
}

__global__ void __launch_bounds__(kElementThreads) unpack_int4_kernel(Int4Params p) {
  const int64_t bytes = divide_up(p.columns, 2), index = global_thread();
  const int64_t row = index / bytes, column = index % bytes * 2;
  if (row >= p.rows) {
    return;
  }
  int8_t* codes = p.codes + row * p.columns + column;
  const int pair = p.packed[index];
  codes[0] = static_cast<int8_t>(((pair & 15) ^ 8) - 8);  // extends the sign
  if (column + 1 < p.columns) {
    codes[1] = static_cast<int8_t>(((pair >> 4) ^ 8) - 8);
  }
}

__global__ void __launch_bounds__(kElementThreads) draws_kernel(DrawParams p) {
  const int64_t i = global_thread();
  if (i >= p.count) {
    return;
  }
  p.out[i] = p.kept > 0 ? ((random_word(p.key, i) >> 11) < p.dropped ? 0.0f : p.kept)
                        : uniform_draw(p.key, i);
}

__global__ void __launch_bounds__(kElementThreads) squares_kernel(SquaresParams p) {
  const int64_t chunk = static_cast<int64_t>(blockIdx.x) * kSquareWarps + warp_id();
  const int64_t first = chunk * kSquareChunk;
  if (first >= p.count) {
    return;
  }
  const int64_t end = first + kSquareChunk < p.count ? first + kSquareChunk : p.count;
  double sum = 0;
  for (int64_t i = first + lane_id(); i < end; i += 32) {
    const double value = static_cast<double>(p.x[i]);
    sum += value * value;
  }
  for (int o = 1; o < 32; o *= 2) {
    sum += __shfl_xor_sync(kAllLanes, sum, o);
  }
  if (lane_id() == 0) {
    p.partial[chunk] = sum;
  }
}

__global__ void __launch_bounds__(32) squares_total_kernel(SquaresParams p) {
  if (threadIdx.x == 0) {
    double total = 0;
    for (int64_t chunk = 0; chunk < divide_up(p.count, kSquareChunk); ++chunk) {
      total += p.partial[chunk];
    }
    *p.total = total;
  }
}

// The four nibbles of two bytes, one a byte.
__device__ __forceinline__ uint32_t spread_nibbles(uint32_t x) {
  return (x & 0xfu) | (x & 0xf0u) << 4 | (x & 0xf00u) << 8 | (x & 0xf000u) << 12;
}

// A thread makes a word: columns k to k + 3 in the low nibbles of its bytes, k + 32 to k + 35 in
// the high ones.
__global__ void __launch_bounds__(kElementThreads) int4_words_kernel(Int4WordsParams p) {
  const int64_t tiles = tiles_k(p.columns), index = global_thread();
  const int64_t row = index / (tiles * kInt4TileWords), place = index % kInt4TileWords;
  if (row >= p.rows) {
    return;
  }
  const int64_t bytes = divide_up(p.columns, 2);
  const int64_t k = index / kInt4TileWords % tiles * kTileK + place % 2 * 16 + place / 2 * 4;
  uint32_t word = 0;
  for (int half = 0; half < 2; ++half) {
    const int64_t at = (k + 32 * half) / 2;
    const uint32_t low = at < bytes ? p.packed[row * bytes + at] : 0;
    const uint32_t high = at + 1 < bytes ? p.packed[row * bytes + at + 1] : 0;
    word |= spread_nibbles(low | high << 8) << (4 * half);
  }
  p.words[index] = word;
}

__global__ void __launch_bounds__(kElementThreads) pack_mask_kernel(PackMaskParams p) {
  const int64_t words = divide_up(p.columns, 32), index = global_thread();
  const int64_t row = index / words, first = index % words * 32;
  if (row >= p.rows) {
    return;
  }
  const uint8_t* keep = p.keep + row * p.columns + first;
  uint32_t word = 0;
  for (int i = 0; i < 32 && first + i < p.columns; ++i) {
    word |= static_cast<uint32_t>(keep[i] & 1) << i;
  }
  p.bits[index] = word;
}

template <class T>
__global__ void __launch_bounds__(kElementThreads) masked_kernel(MaskedParams p) {
  const int64_t i = global_thread();
  if (i >= p.rows * p.columns) {
    return;
  }
  const int64_t row = i / p.columns, column = i % p.columns;
  const uint32_t word = p.bits[row * divide_up(p.columns, 32) + column / 32];
  const bool kept = ((word >> (column % 32)) & 1u) != 0;
  static_cast<T*>(p.dx)[i] = kept ? static_cast<const T*>(p.dy)[i] : T{};
}

namespace {

dim3 element_grid(int64_t threads) {
  return dim3(static_cast<unsigned>(divide_up(threads, kElementThreads)));
}

}  // namespace

cudaError_t dequantize_rows(const DequantizeParams& p, cudaStream_t stream) {
  const dim3 grid = element_grid(p.rows * divide_up(p.columns, 4)), block(kElementThreads);
  return p.is_bf16 ? launch(dequantize_kernel<bf16>, grid, block, 0, stream, p)
                   : launch(dequantize_kernel<float>, grid, block, 0, stream, p);
}

cudaError_t pack_int4(const Int4Params& p, cudaStream_t stream) {
  return launch(pack_int4_kernel, element_grid(p.rows * divide_up(p.columns, 2)),
                dim3(kElementThreads), 0, stream, p);
}

cudaError_t unpack_int4(const Int4Params& p, cudaStream_t stream) {
  return launch(unpack_int4_kernel, element_grid(p.rows * divide_up(p.columns, 2)),
                dim3(kElementThreads), 0, stream, p);
}

cudaError_t int4_words(const Int4WordsParams& p, cudaStream_t stream) {
  return launch(int4_words_kernel,
                element_grid(setun::cuda::int4_words(p.rows, tiles_k(p.columns))),
                dim3(kElementThreads), 0, stream, p);
}

cudaError_t pack_mask(const PackMaskParams& p, cudaStream_t stream) {
  return launch(pack_mask_kernel, element_grid(p.rows * divide_up(p.columns, 32)),
                dim3(kElementThreads), 0, stream, p);
}

cudaError_t apply_mask(const MaskedParams& p, cudaStream_t stream) {
  const dim3 grid = element_grid(p.rows * p.columns), block(kElementThreads);
  return p.is_bf16 ? launch(masked_kernel<bf16>, grid, block, 0, stream, p)
                   : launch(masked_kernel<float>, grid, block, 0, stream, p);
}

cudaError_t draws(const DrawParams& p, cudaStream_t stream) {
  return launch(draws_kernel, element_grid(p.count), dim3(kElementThreads), 0, stream, p);
}

int64_t squares_workspace(int64_t count) { return divide_up(count, kSquareChunk); }

cudaError_t sum_of_squares(const SquaresParams& p, cudaStream_t stream) {
  if (p.count < 1) {
    return cudaErrorInvalidValue;
  }
  const dim3 grid(static_cast<unsigned>(divide_up(squares_workspace(p.count), kSquareWarps)));
  const cudaError_t error = launch(squares_kernel, grid, dim3(kElementThreads), 0, stream, p);
  return error == cudaSuccess ? launch(squares_total_kernel, dim3(1), dim3(32), 0, stream, p)
                              : error;
}

}  // namespace setun::cuda
