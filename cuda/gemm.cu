// y = A W^T by tensor cores. A block of 4 warps makes 64 x 128 outputs, a warp all 64 rows of 32
// columns. Activations come through a pipeline of cp.async stages in shared memory, one barrier a
// tile of 64 columns of K; weight words come straight from global memory in fragment order, one
// tile ahead. Int4 activations become int8 ones 16 times as large (the nibble in a byte's upper
// half), which the shift in unscaled() takes back exactly. Rows and columns behind the last repeat
// it; what they give is not stored.
#include "product_epilogue.cuh"
#include "vectors.cuh"

namespace setun::cuda {

enum class Source { kInt8, kInt4, kInt4Native };

constexpr int kTileRows = 64, kTileColumns = 128, kMatrixWarps = 4, kStages = 3;
constexpr int kWarpColumns = kTileColumns / kMatrixWarps, kWordsPerLane = kWarpColumns / kTileN;
constexpr int kRowTiles = kTileRows / 16;
// Bytes of a row of a stage. 64 + 16: the 8 rows that ldmatrix reads at once fall in distinct
// banks.
template <Source kSource>
constexpr int kPitch = kSource == Source::kInt8 ? 80 : 32;

using Accumulators = int[kRowTiles][kWordsPerLane][4];
using Sums = float[kRowTiles][kWordsPerLane][4];

// A thread's part of the copies to a stage: a piece of 16 bytes of every kRowStep-th row.
template <Source kSource>
struct Feed {
  static constexpr int kPieces = kSource == Source::kInt8 ? 4 : 2;  // of a row
  static constexpr int kRowStep = 32 * kMatrixWarps / kPieces;
  static constexpr int kCopies = kTileRows / kRowStep;
  const char* from[kCopies];
  int to;  // of the first copy, in the stage

  __device__ __forceinline__ Feed(const ProductParams& p, int m0) {
    const int row = static_cast<int>(threadIdx.x) / kPieces;
    const int piece = static_cast<int>(threadIdx.x) % kPieces;
    const int64_t bytes =
        kSource == Source::kInt8 ? p.a8_stride : tiles_k(p.k) * kInt4TileWords * 4;
    const auto* a = kSource == Source::kInt8 ? reinterpret_cast<const char*>(p.a8)
                                             : reinterpret_cast<const char*>(p.a4);
#pragma unroll
    for (int c = 0; c < kCopies; ++c) {
      from[c] = a + min(m0 + row + c * kRowStep, p.m - 1) * bytes + piece * 16;
    }
    to = row * kPitch<kSource> + piece * 16;
  }
  // Copies the next tile.
  __device__ __forceinline__ void load(int8_t* stage) {
#pragma unroll
    for (int c = 0; c < kCopies; ++c) {
      cp_async16(stage + to + c * kRowStep * kPitch<kSource>, from[c], 16);
      from[c] += kPieces * 16;
    }
  }
};

// The words of the warp's columns, a tile after another.
struct Words {
  const uint32_t* from[kWordsPerLane];
  uint32_t next[kWordsPerLane];

  __device__ __forceinline__ Words(const ProductParams& p, int n0) : next{} {
    const int last = (p.n - 1) / kTileN;
#pragma unroll
    for (int j = 0; j < kWordsPerLane; ++j) {
      from[j] = p.w + min(n0 / kTileN + j, last) * tiles_k(p.k) * kTileWords + lane_id();
    }
  }
  __device__ __forceinline__ void load() {
#pragma unroll
    for (int j = 0; j < kWordsPerLane; ++j) {
      next[j] = *from[j];
      from[j] += kTileWords;
    }
  }
};

// Where a lane's part of the first row fragment stands in a stage.
template <Source kSource>
__device__ __forceinline__ int fragment_start() {
  const int lane = lane_id();
  return kSource == Source::kInt8 ? (lane % 8 + lane / 8 % 2 * 8) * kPitch<kSource> + lane / 16 * 16
                                  : lane / 4 * kPitch<kSource> + lane % 4 * 8;
}

// Row fragments of int4, all 64 columns of K, as they stand.
__device__ __forceinline__ void load_nibbles(const int8_t* part, uint32_t (&a)[4]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {  // rows g and g + 8
    const uint2 both = *reinterpret_cast<const uint2*>(part + half * 8 * kPitch<Source::kInt4>);
    a[half] = both.x;
    a[2 + half] = both.y;
  }
}

// Multiplies 16 rows of A and 32 columns of K (64 of int4's own instruction).
template <Source kSource>
__device__ __forceinline__ void multiply_step(const uint32_t (&a)[4],
                                              const uint32_t (&words)[kWordsPerLane], int step,
                                              int (&acc)[kWordsPerLane][4]) {
#pragma unroll
  for (int j = 0; j < kWordsPerLane; ++j) {
    constexpr bool kNative = kSource == Source::kInt4Native;
    constexpr uint32_t kMask = kNative ? 0x33333333u : 0x03030303u;
    const uint32_t b[2] = {(words[j] >> (4 * step)) & kMask, (words[j] >> (4 * step + 2)) & kMask};
    if constexpr (kNative) {
      mma_m16n8k64_s4(acc[j], a, b);
    } else {
      mma_m16n8k32_s8(acc[j], a, b);
    }
  }
}

// `part` is the lane's part of the stage.
template <Source kSource>
__device__ __forceinline__ void multiply_tile(const int8_t* part,
                                              const uint32_t (&words)[kWordsPerLane],
                                              Accumulators& acc) {
#pragma unroll
  for (int i = 0; i < kRowTiles; ++i) {
    const int8_t* rows = part + i * 16 * kPitch<kSource>;
    uint32_t a[4];
    if constexpr (kSource == Source::kInt8) {
#pragma unroll
      for (int step = 0; step < 2; ++step) {
        ldmatrix_x4(a, rows + step * 32);
        multiply_step<kSource>(a, words, step, acc[i]);
      }
    } else {
      load_nibbles(rows, a);
    }
    if constexpr (kSource == Source::kInt4Native) {
      multiply_step<kSource>(a, words, 0, acc[i]);
    }
    if constexpr (kSource == Source::kInt4) {
      constexpr uint32_t kHigh = 0xf0f0f0f0u;
      const uint32_t low[4] = {a[0] << 4 & kHigh, a[1] << 4 & kHigh, a[2] << 4 & kHigh,
                               a[3] << 4 & kHigh};
      const uint32_t high[4] = {a[0] & kHigh, a[1] & kHigh, a[2] & kHigh, a[3] & kHigh};
      multiply_step<kSource>(low, words, 0, acc[i]);
      multiply_step<kSource>(high, words, 1, acc[i]);
    }
  }
}

template <Source kSource>
__device__ __forceinline__ int unscaled(int acc) {
  return kSource == Source::kInt4 ? acc >> 4 : acc;
}

// A lane's outputs are rows m0 + 16 i + 8 half and columns n0 + 8 j + b, from its own m0 and n0 on;
// fragment (i, j) holds them at [2 half + b].
using RowOutputs = float[kWordsPerLane][2];

template <class F>
__device__ __forceinline__ void for_rows(const F& body) {
#pragma unroll
  for (int i = 0; i < kRowTiles; ++i) {
    body(i, 0);
    body(i, 1);
  }
}
template <class F>
__device__ __forceinline__ void for_columns(const F& body) {
#pragma unroll
  for (int j = 0; j < kWordsPerLane; ++j) {
    body(j, 0);
    body(j, 1);
  }
}

__device__ __forceinline__ void clear(Accumulators& acc) {
  for_rows(
      [&](int i, int half) { for_columns([&](int j, int b) { acc[i][j][2 * half + b] = 0; }); });
}

// What the integers of row m are multiplied by, from the scales of the columns.
template <bool kGrouped>
__device__ __forceinline__ void row_factors(const ProductParams& p, int m, const RowOutputs& scale,
                                            RowOutputs& factor) {
  if (kGrouped) {
    for_columns([&](int j, int b) { factor[j][b] = scale[j][b]; });
  } else if (p.weight_stride == 0) {  // one scale, one factor
    const float one = whole_factor(p, m, scale[0][0]);
    for_columns([&](int j, int b) { factor[j][b] = one; });
  } else {
    for_columns([&](int j, int b) { factor[j][b] = whole_factor(p, m, scale[j][b]); });
  }
}

__device__ __forceinline__ void store_accumulators(const ProductParams& p, int m0, int n0,
                                                   const Accumulators& acc) {
  for_rows([&](int i, int half) {
    for_columns([&](int j, int b) {
      const int m = m0 + i * 16 + half * 8, n = n0 + j * kTileN + b;
      if (m < p.m && n < p.n) {
        p.accumulators[static_cast<int64_t>(m) * p.n + n] = acc[i][j][2 * half + b];
      }
    });
  });
}

// Adds the group's integers, scaled, to the sums.
template <Source kSource, bool kGrouped>
__device__ __forceinline__ void finish_group(const ProductParams& p, int g, int m0, int n0,
                                             Accumulators& acc, Sums& sums) {
  const int groups = kGrouped ? groups_of(p) : 1;
  RowOutputs scale, factor;
  for_columns([&](int j, int b) {
    scale[j][b] = weight_scale_at(p, min(n0 + j * kTileN + b, p.n - 1), g);
  });
  for_rows([&](int i, int half) {
    const int m = min(m0 + i * 16 + half * 8, p.m - 1);
    const int offset = p.sums[m * groups + g];
    row_factors<kGrouped>(p, m, scale, factor);
    for_columns([&](int j, int b) {
      int& value = acc[i][j][2 * half + b];
      value = unscaled<kSource>(value) - offset;
      sums[i][j][2 * half + b] += static_cast<float>(value) * factor[j][b];
    });
  });
}

// bf16 pairs are half as wide as a sector's share of a lane: neighbouring lanes exchange, so that
// an even lane has four columns of the left 8 and an odd one four of the right 8, and the four
// lanes of a row write one sector.
__device__ __forceinline__ void store_quad(bf16* row, bool inside, uint32_t left, uint32_t right) {
  const bool odd = lane_id() % 2 != 0;
  const uint32_t other = __shfl_xor_sync(kAllLanes, odd ? left : right, 1);
  if (inside) {
    *reinterpret_cast<uint2*>(row + (odd ? kTileN - 2 : 0)) =
        odd ? make_uint2(other, right) : make_uint2(left, other);
  }
}

// A row of a warp's columns, all of which exist, in whole sectors.
__device__ __forceinline__ void store_row(const ProductParams& p, int m, int n, RowOutputs& y) {
  const bool inside = m < p.m;
  const int64_t at = m * p.out_stride + n;
  if (p.residual != nullptr && inside) {
#pragma unroll
    for (int j = 0; j < kWordsPerLane; ++j) {
      const float2 r = *reinterpret_cast<const float2*>(p.residual + at + j * kTileN);
      y[j][0] += r.x;
      y[j][1] += r.y;
    }
  }
  if (p.out_bf16) {
#pragma unroll
    for (int j = 0; j < kWordsPerLane; j += 2) {
      store_quad(static_cast<bf16*>(p.out) + at + j * kTileN, inside, bf16_pair(y[j][0], y[j][1]),
                 bf16_pair(y[j + 1][0], y[j + 1][1]));
    }
    return;
  }
#pragma unroll
  for (int j = 0; inside && j < kWordsPerLane; ++j) {
    *reinterpret_cast<float2*>(static_cast<float*>(p.out) + at + j * kTileN) =
        make_float2(y[j][0], y[j][1]);
  }
}

template <bool kGrouped>
__device__ __forceinline__ void store_tile(const ProductParams& p, int m0, int n0, bool whole,
                                           const Sums& sums) {
  for_rows([&](int i, int half) {
    const int m = m0 + i * 16 + half * 8;
    const float token = kGrouped ? token_factor(p, min(m, p.m - 1)) : 1.0f;
    RowOutputs y;
    for_columns([&](int j, int b) { y[j][b] = sums[i][j][2 * half + b] * token; });
    if (whole) {
      store_row(p, m, n0, y);
      return;
    }
    for_columns([&](int j, int b) {
      const int n = n0 + j * kTileN + b;
      if (m < p.m && n < p.n) {
        store_one(p, m, n, y[j][b]);
      }
    });
  });
}

// Without groups the integers become the outputs once, after the loop, and no sums live beside
// them.
template <Source kSource, bool kGrouped>
__global__ void __launch_bounds__(32 * kMatrixWarps) gemm_kernel(ProductParams p) {
  SETUN_SHARED(int8_t, stages, [kStages][kTileRows * kPitch<kSource>]);
  const int m0 = static_cast<int>(blockIdx.y) * kTileRows;
  const int n0 = static_cast<int>(blockIdx.x) * kTileColumns + warp_id() * kWarpColumns;
  const int lane_m0 = m0 + lane_id() / 4, lane_n0 = n0 + lane_id() % 4 * 2;
  const int tiles = static_cast<int>(tiles_k(p.k)), start = fragment_start<kSource>();
  const int group_tiles = p.group == 0 ? tiles : p.group / kTileK;
  Accumulators acc;
  clear(acc);
  Sums sums = {};
  Feed<kSource> feed(p, m0);
  Words words(p, n0);
#pragma unroll
  for (int s = 0; s < kStages - 1; ++s) {
    if (s < tiles) {
      feed.load(stages[s]);
    }
    cp_async_commit();
  }
  words.load();
  int read = 0, fill = kStages - 1, group = 0, left = group_tiles;
  for (int tile = 0; tile < tiles; ++tile) {
    cp_async_wait<kStages - 2>();
    __syncthreads();  // the stage has arrived, and nobody reads the one that is filled next
    if (tile + kStages - 1 < tiles) {
      feed.load(stages[fill]);
    }
    cp_async_commit();
    uint32_t now[kWordsPerLane];
#pragma unroll
    for (int j = 0; j < kWordsPerLane; ++j) {
      now[j] = words.next[j];
    }
    if (tile + 1 < tiles) {
      words.load();
    }
    multiply_tile<kSource>(stages[read] + start, now, acc);
    fill = read;
    read = read + 1 == kStages ? 0 : read + 1;
    if (kGrouped && (--left == 0 || tile + 1 == tiles)) {
      finish_group<kSource, true>(p, group++, lane_m0, lane_n0, acc, sums);
      clear(acc);
      left = group_tiles;
    }
  }
  cp_async_wait<0>();
  if (!kGrouped) {
    finish_group<kSource, false>(p, 0, lane_m0, lane_n0, acc, sums);
    if (p.accumulators != nullptr) {
      store_accumulators(p, lane_m0, lane_n0, acc);
    }
  }
  const bool whole = n0 + kWarpColumns <= p.n && p.out_stride % 4 == 0;
  store_tile<kGrouped>(p, lane_m0, lane_n0, whole, sums);
}

namespace {

template <Source kSource>
cudaError_t launch_source(const ProductParams& p, dim3 grid, cudaStream_t stream) {
  const dim3 block(32 * kMatrixWarps);
  return p.group == 0 ? launch(gemm_kernel<kSource, false>, grid, block, 0, stream, p)
                      : launch(gemm_kernel<kSource, true>, grid, block, 0, stream, p);
}

}  // namespace

cudaError_t ternary_matrix_product(const ProductParams& p, bool native_int4, cudaStream_t stream) {
  const bool int8 = p.a8 != nullptr && p.a8_stride % kTileK == 0 && p.a8_stride >= p.k;
  if (p.m < 1 || p.n < 1 || p.k < 1 || (!int8 && p.a4 == nullptr) || p.group % kTileK != 0) {
    return cudaErrorInvalidValue;
  }
  const dim3 grid(static_cast<unsigned>(divide_up(p.n, kTileColumns)),
                  static_cast<unsigned>(divide_up(p.m, kTileRows)));
  if (int8) {
    return launch_source<Source::kInt8>(p, grid, stream);
  }
  return native_int4 ? launch_source<Source::kInt4Native>(p, grid, stream)
                     : launch_source<Source::kInt4>(p, grid, stream);
}

}  // namespace setun::cuda
