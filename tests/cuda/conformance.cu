#include "conformance.h"

#include "gpu.h"

namespace setun::cuda {

constexpr unsigned kAll = 0xffffffffu;

template <int kWidth>
__device__ void shuffles(int* o, int v, int arg) {
  o[0] = __shfl_sync(kAll, v, arg, kWidth);
  o[1] = __shfl_up_sync(kAll, v, arg, kWidth);
  o[2] = __shfl_down_sync(kAll, v, arg, kWidth);
  o[3] = __shfl_xor_sync(kAll, v, arg, kWidth);
}

__global__ void conform_warp_kernel(WarpParams p) {
  const int l = static_cast<int>(threadIdx.x);
  int* o = p.out + l * 16;
  if (p.width == 32) {
    shuffles<32>(o, 100 + l, p.arg);
  } else if (p.width == 8) {
    shuffles<8>(o, 100 + l, p.arg);
  } else {
    shuffles<4>(o, 100 + l, p.arg);
  }
  o[4] = static_cast<int>(__ballot_sync(kAll, l % 3 == 0));
  o[5] = __any_sync(kAll, l == p.arg);
  o[6] = __all_sync(kAll, l < 32);
  o[7] = __reduce_add_sync(kAll, 100 + l);
  o[8] = __popc(0x10101u * static_cast<unsigned>(l));
  o[9] = static_cast<int>(__byte_perm(0x03020100u, 0x87060504u, 0x7f10u));
  o[10] = __clz(l);
  o[11] = __ffs(l);
  o[12] = static_cast<int>(__shfl_xor_sync(kAll, 1.5 * l, 1));
  o[13] = min(l, 7) + max(-l, -3);
  o[14] = __syncthreads_count(l < 5);
  o[15] = static_cast<int>(__reduce_max_sync(kAll, static_cast<unsigned>(l * l % 37)));
}
cudaError_t conform_warp(const WarpParams& p) {
  return launch(conform_warp_kernel, dim3(1), dim3(32), 0, nullptr, p);
}

__global__ void conform_subsets_kernel(OutParams p) {
  const int l = static_cast<int>(threadIdx.x);
  int v = l;
  if (l < 12) {
    for (int o = 1; o < 4; ++o) {
      v += __shfl_sync(0x00000fffu, v, (l + o) % 12);
    }
  } else {
    v = static_cast<int>(__ballot_sync(0xfffff000u, l & 1));
  }
  __syncwarp();
  p.out[l] = v;
}
cudaError_t conform_subsets(const OutParams& p) {
  return launch(conform_subsets_kernel, dim3(1), dim3(32), 0, nullptr, p);
}

__global__ void conform_exit_kernel(OutParams p) {
  SETUN_SHARED(int, s, [64]);
  const int i = static_cast<int>(threadIdx.x + threadIdx.y * blockDim.x);
  if (i >= p.n) {
    return;
  }
  s[i] = i * i;
  __syncthreads();
  p.out[static_cast<int>(blockIdx.x) * p.n + i] = s[p.n - 1 - i] + static_cast<int>(blockIdx.x);
}
cudaError_t conform_exit(const OutParams& p) {
  return launch(conform_exit_kernel, dim3(3), dim3(8, 8), 0, nullptr, p);
}

__global__ void conform_syncwarp_kernel(OutParams p) {
  SETUN_SHARED(int, s, [32]);
  s[threadIdx.x] = static_cast<int>(threadIdx.x) * 3;
  __syncwarp();
  p.out[threadIdx.x] = s[31 - threadIdx.x];
}
cudaError_t conform_syncwarp(const OutParams& p) {
  return launch(conform_syncwarp_kernel, dim3(1), dim3(32), 0, nullptr, p);
}

__global__ void conform_last_block_kernel(LastBlockParams p) {
  SETUN_SHARED(int, s, [4]);
  SETUN_SHARED(int, last, );
  int v = 0;
  for (int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); i < p.n;
       i += static_cast<int>(gridDim.x * blockDim.x)) {
    v += p.x[i];
  }
  v = __reduce_add_sync(kAll, v);
  if (threadIdx.x % 32 == 0) {
    s[threadIdx.x / 32] = v;
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    p.partial[blockIdx.x] = s[0] + s[1] + s[2] + s[3];
    __threadfence();
    last = atomicAdd(p.ticket, 1u) == gridDim.x - 1;
    __threadfence();
  }
  __syncthreads();
  if (last && threadIdx.x == 0) {
    int total = 0;
    for (unsigned b = 0; b < gridDim.x; ++b) {
      total += p.partial[b];
    }
    *p.out = total;
  }
}
cudaError_t conform_last_block(const LastBlockParams& p) {
  return launch(conform_last_block_kernel, dim3(static_cast<unsigned>(p.blocks)), dim3(128), 0,
                nullptr, p);
}

__global__ void conform_dp4a_kernel(Dp4aParams p) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < p.n) {
    p.out[i] = __dp4a(p.a[i], p.b[i], i);
  }
}
cudaError_t conform_dp4a(const Dp4aParams& p) {
  const auto blocks = static_cast<unsigned>((p.n + 63) / 64);
  return launch(conform_dp4a_kernel, dim3(blocks), dim3(64), 0, nullptr, p);
}

__global__ void conform_round_kernel(RoundParams p) {
  const int i = static_cast<int>(threadIdx.x);
  if (i < p.n) {
    p.out[i] = __float2int_rn(p.x[i]);
  }
}
cudaError_t conform_round(const RoundParams& p) {
  return launch(conform_round_kernel, dim3(1), dim3(32), 0, nullptr, p);
}

__device__ void store_fragment(const int (&d)[4], int* out, int lane) {
  for (int i = 0; i < 4; ++i) {
    out[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = d[i];
  }
}

__global__ void conform_mma_s8_kernel(MmaParams p) {
  SETUN_SHARED(int8_t, tile, [16 * 48]);
  const int lane = static_cast<int>(threadIdx.x), g = lane / 4, t = lane % 4;
  cp_async16(tile + lane / 2 * 48 + lane % 2 * 16, p.a + lane * 16, 16);
  cp_async_commit();
  cp_async_wait<0>();
  __syncwarp();
  uint32_t a[4], b[2];
  ldmatrix_x4(a, tile + (lane % 8 + lane / 8 % 2 * 8) * 48 + lane / 16 * 16);
  for (int half = 0; half < 2; ++half) {
    b[half] = *reinterpret_cast<const uint32_t*>(p.b + g * 32 + half * 16 + t * 4);
  }
  int d[4] = {1, 2, 3, 4};
  mma_m16n8k32_s8(d, a, b);
  store_fragment(d, p.out, lane);
}
cudaError_t conform_mma_s8(const MmaParams& p) {
  return launch(conform_mma_s8_kernel, dim3(1), dim3(32), 0, nullptr, p);
}

__device__ uint32_t nibbles(const int8_t* x) {
  uint32_t word = 0;
  for (int i = 0; i < 8; ++i) {
    word |= static_cast<uint32_t>(x[i] & 15) << (4 * i);
  }
  return word;
}

__global__ void conform_mma_s4_kernel(MmaParams p) {
  const int lane = static_cast<int>(threadIdx.x), g = lane / 4, t = lane % 4;
  uint32_t a[4], b[2];
  for (int half = 0; half < 2; ++half) {
    a[2 * half] = nibbles(p.a + g * 64 + half * 32 + t * 8);
    a[2 * half + 1] = nibbles(p.a + (g + 8) * 64 + half * 32 + t * 8);
    b[half] = nibbles(p.b + g * 64 + half * 32 + t * 8);
  }
  int d[4] = {1, 2, 3, 4};
  mma_m16n8k64_s4(d, a, b);
  store_fragment(d, p.out, lane);
}
cudaError_t conform_mma_s4(const MmaParams& p) {
  return launch(conform_mma_s4_kernel, dim3(1), dim3(32), 0, nullptr, p);
}

}  // namespace setun::cuda
