// y = A W^T for a few rows: bound by reading the weights once. A block has 8 output columns, one
// word of codes a lane; its warps take every 4th tile of 64 columns of K and add what they have to
// shared integers, so that the order of the warps changes nothing.
#include "product_epilogue.cuh"

namespace setun::cuda {

constexpr int kVectorWarps = 4;

// acc[m] += the word's 16 codes times the activations that meet them; `a` points at the lane's
// first ones in row 0.
template <int kRows>
__device__ __forceinline__ void vector_tile(const ProductParams& p, const int8_t* a, uint32_t word,
                                            int (&acc)[kRows]) {
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    const int codes = static_cast<int>((word >> (2 * j)) & 0x03030303u);
#pragma unroll
    for (int m = 0; m < kRows; ++m) {
      const int8_t* row = a + min(m, p.m - 1) * p.a8_stride;
      acc[m] = __dp4a(*reinterpret_cast<const int*>(row + 16 * j), codes, acc[m]);
    }
  }
}

// totals[group][m][8 columns]; the four lanes of a column are added first.
template <int kRows>
__device__ __forceinline__ void flush(const ProductParams& p, int group, int (&acc)[kRows],
                                      int* totals) {
#pragma unroll
  for (int m = 0; m < kRows; ++m) {
    int sum = acc[m];
    sum += __shfl_xor_sync(kAllLanes, sum, 1);
    sum += __shfl_xor_sync(kAllLanes, sum, 2);
    if (lane_id() % 4 == 0 && m < p.m) {
      atomicAdd(&totals[(group * p.m + m) * kTileN + lane_id() / 4], sum);
    }
    acc[m] = 0;
  }
}

template <int kRows>
__global__ void __launch_bounds__(32 * kVectorWarps, 2) gemv_kernel(ProductParams p) {
  SETUN_DYN_SHARED(int, totals);
  const int groups = groups_of(p), tiles = static_cast<int>(tiles_k(p.k));
  const int count = groups * p.m * kTileN, tid = static_cast<int>(threadIdx.x);
  for (int i = tid; i < count; i += 32 * kVectorWarps) {
    totals[i] = 0;
  }
  __syncthreads();
  const int8_t* a = p.a8 + warp_id() * kTileK + lane_id() % 4 * 4;
  const uint32_t* words = p.w + (static_cast<int64_t>(blockIdx.x) * tiles + warp_id()) * kTileWords;
  int acc[kRows] = {};
  for (int tile = warp_id(); tile < tiles; tile += kVectorWarps) {
    vector_tile(p, a, words[lane_id()], acc);
    a += kVectorWarps * kTileK;
    words += kVectorWarps * kTileWords;
    if (p.group > 0) {
      flush(p, tile * kTileK / p.group, acc, totals);
    }
  }
  if (p.group == 0) {
    flush(p, 0, acc, totals);
  }
  __syncthreads();
  for (int i = tid; i < p.m * kTileN; i += 32 * kVectorWarps) {
    const int m = i / kTileN, n = static_cast<int>(blockIdx.x) * kTileN + i % kTileN;
    if (n >= p.n) {
      continue;
    }
    float v = 0;
    for (int g = 0; g < groups; ++g) {
      const int acc_g = totals[g * p.m * kTileN + i] - p.sums[m * groups + g];
      v += static_cast<float>(acc_g) * group_factor(p, m, weight_scale_at(p, n, g));
      if (p.accumulators != nullptr) {
        p.accumulators[static_cast<int64_t>(m) * p.n + n] = acc_g;
      }
    }
    store_one(p, m, n, v * token_factor(p, m));
  }
}

cudaError_t ternary_vector_product(const ProductParams& p, cudaStream_t stream) {
  if (p.m < 1 || p.m > kMaxVectorRows || p.n < 1 || p.k < 1 || p.a8 == nullptr ||
      p.a8_stride % kTileK != 0 || p.a8_stride < p.k || p.group % kTileK != 0) {
    return cudaErrorInvalidValue;
  }
  const int groups = p.group == 0 ? 1 : (p.k + p.group - 1) / p.group;
  const size_t smem = static_cast<size_t>(groups * p.m * kTileN) * sizeof(int);
  const dim3 grid(static_cast<unsigned>(divide_up(p.n, kTileN))), block(32 * kVectorWarps);
  if (p.m == 1) {
    return launch(gemv_kernel<1>, grid, block, smem, stream, p);
  }
  if (p.m <= 4) {
    return launch(gemv_kernel<4>, grid, block, smem, stream, p);
  }
  return launch(gemv_kernel<16>, grid, block, smem, stream, p);
}

}  // namespace setun::cuda
