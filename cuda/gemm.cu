// y = A W^T by tensor cores. A block of 4 warps makes 64 x 128 outputs, a warp all 64 rows of 32
// columns. Activations come through a pipeline of cp.async stages in shared memory, one barrier a
// tile of 64 columns of K; weight words come straight from global memory in fragment order, one
// tile ahead. Int4 activations become int8 ones 16 times as large (the nibble in a byte's upper
// half), which the shift in unscaled() takes back exactly.
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

template <Source kSource>
__device__ __forceinline__ void load_stage(const ProductParams& p, int tile, int m0, int8_t* to) {
  constexpr int kPieces = kSource == Source::kInt8 ? 4 : 2;  // of 16 bytes, a row
  const int64_t tiles = tiles_k(p.k);
#pragma unroll
  for (int c = 0; c < kTileRows * kPieces / (32 * kMatrixWarps); ++c) {
    const int id = c * 32 * kMatrixWarps + static_cast<int>(threadIdx.x);
    const int row = id / kPieces, piece = id % kPieces, m = min(m0 + row, p.m - 1);
    const bool inside = m0 + row < p.m;
    const void* from = nullptr;
    if constexpr (kSource == Source::kInt8) {
      from = p.a8 + m * p.a8_stride + tile * kTileK + piece * 16;
    } else {
      from = p.a4 + (m * tiles + tile) * kInt4TileWords + piece * 4;
    }
    cp_async16(to + row * kPitch<kSource> + piece * 16, from, inside ? 16 : 0);
  }
}

__device__ __forceinline__ void load_words(const ProductParams& p, int tile, int n0,
                                           uint32_t (&words)[kWordsPerLane]) {
  const int tiles = static_cast<int>(tiles_k(p.k));
#pragma unroll
  for (int j = 0; j < kWordsPerLane; ++j) {
    const int n = n0 + j * kTileN;
    words[j] = n < p.n && tile < tiles
                   ? p.w[(static_cast<int64_t>(n / kTileN) * tiles + tile) * kTileWords + lane_id()]
                   : 0;
  }
}

// Fragments of rows 16 i .. 16 i + 15 and 32 columns of K of the stage.
template <Source kSource>
__device__ __forceinline__ void load_a(const int8_t* stage, int i, int step, uint32_t (&a)[4]) {
  const int lane = lane_id();
  if constexpr (kSource == Source::kInt8) {
    const int row = i * 16 + lane % 8 + lane / 8 % 2 * 8;
    ldmatrix_x4(a, stage + row * kPitch<kSource> + step * 32 + lane / 16 * 16);
  } else {
#pragma unroll
    for (int half = 0; half < 2; ++half) {  // rows g and g + 8
      const int row = i * 16 + lane / 4 + half * 8;
      const uint2 both =
          *reinterpret_cast<const uint2*>(stage + row * kPitch<kSource> + lane % 4 * 8);
      a[half] = both.x;
      a[2 + half] = both.y;
    }
    if constexpr (kSource == Source::kInt4) {
#pragma unroll
      for (uint32_t& r : a) {
        r = (step == 0 ? r << 4 : r) & 0xf0f0f0f0u;
      }
    }
  }
}

template <Source kSource>
__device__ __forceinline__ void multiply_tile(const int8_t* stage,
                                              const uint32_t (&words)[kWordsPerLane],
                                              Accumulators& acc) {
  constexpr bool kNative = kSource == Source::kInt4Native;
#pragma unroll
  for (int step = 0; step < (kNative ? 1 : 2); ++step) {
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
      uint32_t a[4];
      load_a<kSource>(stage, i, step, a);
#pragma unroll
      for (int j = 0; j < kWordsPerLane; ++j) {
        constexpr uint32_t kMask = kNative ? 0x33333333u : 0x03030303u;
        const uint32_t b[2] = {(words[j] >> (4 * step)) & kMask,
                               (words[j] >> (4 * step + 2)) & kMask};
        if constexpr (kNative) {
          mma_m16n8k64_s4(acc[i][j], a, b);
        } else {
          mma_m16n8k32_s8(acc[i][j], a, b);
        }
      }
    }
  }
}

template <Source kSource>
__device__ __forceinline__ int unscaled(int acc) {
  return kSource == Source::kInt4 ? acc >> 4 : acc;
}

// Where accumulator c of fragment (i, j) belongs.
struct Place {
  int m, n;
};
__device__ __forceinline__ Place place_of(int m0, int n0, int i, int j, int c) {
  return {m0 + i * 16 + lane_id() / 4 + c / 2 * 8, n0 + j * kTileN + lane_id() % 4 * 2 + c % 2};
}

// Adds the group's integers, scaled, to the sums and clears them.
template <Source kSource>
__device__ __forceinline__ void finish_group(const ProductParams& p, int g, int m0, int n0,
                                             Accumulators& acc, Sums& sums) {
  const int groups = groups_of(p);
#pragma unroll
  for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
    for (int j = 0; j < kWordsPerLane; ++j) {
#pragma unroll
      for (int c = 0; c < 4; ++c) {
        const Place at = place_of(m0, n0, i, j, c);
        if (at.m < p.m && at.n < p.n) {
          const int value = unscaled<kSource>(acc[i][j][c]) - p.sums[at.m * groups + g];
          sums[i][j][c] += static_cast<float>(value) * group_factor(p, at.m, at.n, g);
          if (p.accumulators != nullptr) {
            p.accumulators[static_cast<int64_t>(at.m) * p.n + at.n] = value;
          }
        }
        acc[i][j][c] = 0;
      }
    }
  }
}

// Two neighbouring columns a lane: the four lanes of a row write one 32-byte sector.
__device__ __forceinline__ void store_pair(const ProductParams& p, Place at, float y0, float y1) {
  if (at.m >= p.m || at.n >= p.n) {
    return;
  }
  if (at.n + 1 < p.n && p.out_stride % 2 == 0) {
    *reinterpret_cast<float2*>(static_cast<float*>(p.out) + at.m * p.out_stride + at.n) =
        make_float2(y0, y1);
    return;
  }
  store_one(p, at.m, at.n, y0);
  if (at.n + 1 < p.n) {
    store_one(p, at.m, at.n + 1, y1);
  }
}

// bf16 pairs are half as wide: neighbouring lanes exchange, so that an even lane has four columns
// of the left 8 and an odd one four of the right 8, and the row again writes one sector.
__device__ __forceinline__ void store_quad(const ProductParams& p, Place left, uint32_t left_pair,
                                           uint32_t right_pair) {
  const bool odd = lane_id() % 2 != 0;
  const uint32_t other = __shfl_xor_sync(kAllLanes, odd ? left_pair : right_pair, 1);
  const int n = odd ? left.n + kTileN - 2 : left.n;
  const uint2 quad = odd ? make_uint2(other, right_pair) : make_uint2(left_pair, other);
  if (left.m >= p.m || n >= p.n) {
    return;
  }
  auto* to = static_cast<bf16*>(p.out) + left.m * p.out_stride + n;
  if (n + 3 < p.n && p.out_stride % 4 == 0) {
    *reinterpret_cast<uint2*>(to) = quad;
    return;
  }
  for (int b = 0; b < 4 && n + b < p.n; ++b) {
    to[b] = {static_cast<uint16_t>((b < 2 ? quad.x : quad.y) >> (16 * (b % 2)))};
  }
}

// The outputs of a pair of columns.
__device__ __forceinline__ float2 outputs_at(const ProductParams& p, Place at, float v0, float v1) {
  float2 y = make_float2(0, 0);
  if (at.m >= p.m || at.n >= p.n) {
    return y;
  }
  y.x = token_scaled(p, at.m, v0);
  y.y = token_scaled(p, at.m, v1);
  if (p.residual == nullptr) {
    return y;
  }
  const float* from = p.residual + at.m * p.out_stride + at.n;
  const bool both = at.n + 1 < p.n;
  if (both && p.out_stride % 2 == 0) {
    const float2 r = *reinterpret_cast<const float2*>(from);
    return make_float2(y.x + r.x, y.y + r.y);
  }
  return make_float2(y.x + from[0], both ? y.y + from[1] : 0.0f);
}

__device__ __forceinline__ void store_tile(const ProductParams& p, int m0, int n0,
                                           const Sums& sums) {
#pragma unroll
  for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
    for (int c = 0; c < 4; c += 2) {
      uint32_t pairs[kWordsPerLane];
#pragma unroll
      for (int j = 0; j < kWordsPerLane; ++j) {
        const Place at = place_of(m0, n0, i, j, c);
        const float2 y = outputs_at(p, at, sums[i][j][c], sums[i][j][c + 1]);
        if (!p.out_bf16) {
          store_pair(p, at, y.x, y.y);
        }
        pairs[j] = bf16_pair(y.x, y.y);
      }
      if (p.out_bf16) {
#pragma unroll
        for (int j = 0; j < kWordsPerLane; j += 2) {
          store_quad(p, place_of(m0, n0, i, j, c), pairs[j], pairs[j + 1]);
        }
      }
    }
  }
}

template <Source kSource>
__global__ void __launch_bounds__(32 * kMatrixWarps) gemm_kernel(ProductParams p) {
  SETUN_SHARED(int8_t, stages, [kStages][kTileRows * kPitch<kSource>]);
  const int m0 = static_cast<int>(blockIdx.y) * kTileRows;
  const int n0 = static_cast<int>(blockIdx.x) * kTileColumns + warp_id() * kWarpColumns;
  const int tiles = static_cast<int>(tiles_k(p.k));
  const int group_tiles = p.group == 0 ? tiles : p.group / kTileK;
  Accumulators acc = {};
  Sums sums = {};
#pragma unroll
  for (int s = 0; s < kStages - 1; ++s) {
    if (s < tiles) {
      load_stage<kSource>(p, s, m0, stages[s]);
    }
    cp_async_commit();
  }
  uint32_t words[kWordsPerLane], next[kWordsPerLane];
  load_words(p, 0, n0, words);
  for (int tile = 0; tile < tiles; ++tile) {
    cp_async_wait<kStages - 2>();
    __syncthreads();  // the stage has arrived, and nobody reads the one that is filled next
    const int ahead = tile + kStages - 1;
    if (ahead < tiles) {
      load_stage<kSource>(p, ahead, m0, stages[ahead % kStages]);
    }
    cp_async_commit();
    load_words(p, tile + 1, n0, next);
    multiply_tile<kSource>(stages[tile % kStages], words, acc);
#pragma unroll
    for (int j = 0; j < kWordsPerLane; ++j) {
      words[j] = next[j];
    }
    if ((tile + 1) % group_tiles == 0 || tile + 1 == tiles) {
      finish_group<kSource>(p, tile / group_tiles, m0, n0, acc, sums);
    }
  }
  cp_async_wait<0>();
  store_tile(p, m0, n0, sums);
}

cudaError_t ternary_matrix_product(const ProductParams& p, bool native_int4, cudaStream_t stream) {
  const bool int8 = p.a8 != nullptr && p.a8_stride % kTileK == 0 && p.a8_stride >= p.k;
  if (p.m < 1 || p.n < 1 || p.k < 1 || (!int8 && p.a4 == nullptr) || p.group % kTileK != 0) {
    return cudaErrorInvalidValue;
  }
  const dim3 grid(static_cast<unsigned>(divide_up(p.n, kTileColumns)),
                  static_cast<unsigned>(divide_up(p.m, kTileRows)));
  const dim3 block(32 * kMatrixWarps);
  if (int8) {
    return launch(gemm_kernel<Source::kInt8>, grid, block, 0, stream, p);
  }
  return native_int4 ? launch(gemm_kernel<Source::kInt4Native>, grid, block, 0, stream, p)
                     : launch(gemm_kernel<Source::kInt4>, grid, block, 0, stream, p);
}

}  // namespace setun::cuda
