// The header of kernel sources. It reads as CUDA under nvcc and, with SETUN_EMU, as
// C++ on the emulator of tests/tools/cuemu, where one fiber is one CUDA thread. Inline PTX stands
// only here. Kernel sources include no LibTorch header, compile alone, and are built with
// -fmad=false (nvcc) or -ffp-contract=off, so that a * b + c is two roundings on every route.
#pragma once

#if defined(SETUN_EMU)
#include "cuemu/cuemu.h"
// A shared variable `T name array` of the block.
#define SETUN_SHARED(T, name, ...)             \
  using name##_shared_t = T __VA_ARGS__;       \
  static char name##_shared_key;               \
  auto& name = *static_cast<name##_shared_t*>( \
      ::cuemu::shared_static(&name##_shared_key, sizeof(name##_shared_t), 16))
// The launch's dynamic shared memory.
#define SETUN_DYN_SHARED(T, name) T* name = static_cast<T*>(::cuemu::shared_dynamic())
#else
#include <cuda_runtime.h>
#define SETUN_SHARED(T, name, ...) __shared__ __align__(16) T name __VA_ARGS__
#define SETUN_DYN_SHARED(T, name)                                   \
  extern __shared__ __align__(16) unsigned char setun_dyn_shared[]; \
  T* name = reinterpret_cast<T*>(setun_dyn_shared)
#endif

#include "runtime.h"

namespace setun::cuda {

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(bf16 x) {
  return __uint_as_float(static_cast<unsigned>(x.bits) << 16);
}

// To nearest, ties to even; a NaN stays one.
__device__ __forceinline__ bf16 to_bf16(float x) {
  const uint32_t bits = __float_as_uint(x);
  if (x != x) {
    return {0x7fff};
  }
  return {static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

// Both as by to_bf16, `low` in the lower half.
__device__ __forceinline__ uint32_t bf16_pair(float low, float high) {
#if defined(SETUN_EMU)
  return to_bf16(low).bits | static_cast<uint32_t>(to_bf16(high).bits) << 16;
#else
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;\n" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
#endif
}

// Starts kernel(params): the same text under nvcc and on the emulator.
template <class Params>
inline cudaError_t launch(void (*kernel)(Params), dim3 grid, dim3 block, size_t smem,
                          cudaStream_t stream, const Params& params) {
  constexpr size_t kDefaultShared = 48 * 1024;
  if (smem > kDefaultShared) {
    const cudaError_t error = cudaFuncSetAttribute(
        kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(smem));
    if (error != cudaSuccess) {
      return error;
    }
  }
#if defined(SETUN_EMU)
  struct Call {
    void (*kernel)(Params);
    Params params;
  };
  return static_cast<cudaError_t>(cuemu::submit(stream, [=] {
    Call call{kernel, params};
    const auto body = [](void* c) {
      const Call* one = static_cast<const Call*>(c);
      one->kernel(one->params);
    };
    return cuemu::run_grid(grid, block, smem, body, &call, reinterpret_cast<const void*>(kernel),
                           {{&call.params, sizeof(Params)}});
  }));
#else
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = smem;
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, params);
#endif
}

// D(16x8, s32) += A(16x32, s8, rows) B(32x8, s8, columns).
__device__ __forceinline__ void mma_m16n8k32_s8(int (&d)[4], const uint32_t (&a)[4],
                                                const uint32_t (&b)[2]) {
#if defined(SETUN_EMU)
  cuemu::mma_m16n8k32_s8(d, a, b);
#else
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
      "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
      : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

// D(16x8, s32) += A(16x64, s4, rows) B(64x8, s4, columns): one instruction on sm_80 to sm_89,
// many on later ones.
__device__ __forceinline__ void mma_m16n8k64_s4(int (&d)[4], const uint32_t (&a)[4],
                                                const uint32_t (&b)[2]) {
#if defined(SETUN_EMU)
  cuemu::mma_m16n8k64_s4(d, a, b);
#else
  asm volatile(
      "mma.sync.aligned.m16n8k64.row.col.s32.s4.s4.s32 "
      "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
      : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

// Four 8x8 matrices of 2-byte elements, 8 rows of 16 bytes each: lane l gives the address of row
// l % 8 of matrix l / 8.
__device__ __forceinline__ void ldmatrix_x4(uint32_t (&d)[4], const void* row) {
#if defined(SETUN_EMU)
  cuemu::ldmatrix<4>(d, row);
#else
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
               : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
               : "r"(address)
               : "memory");
#endif
}

// 16 bytes to shared memory without waiting; the bytes after src_bytes become zeros.
__device__ __forceinline__ void cp_async16(void* shared, const void* global, int src_bytes) {
#if defined(SETUN_EMU)
  cuemu::cp_async(shared, global, 16, src_bytes);
#else
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(address), "l"(global),
               "r"(src_bytes)
               : "memory");
#endif
}
__device__ __forceinline__ void cp_async_commit() {
#if defined(SETUN_EMU)
  cuemu::cp_commit();
#else
  asm volatile("cp.async.commit_group;\n" ::: "memory");
#endif
}
// Waits until at most kGroups of the thread's committed groups are still on their way.
template <int kGroups>
__device__ __forceinline__ void cp_async_wait() {
#if defined(SETUN_EMU)
  cuemu::cp_async_wait_group(kGroups);
#else
  asm volatile("cp.async.wait_group %0;\n" ::"n"(kGroups) : "memory");
#endif
}

}  // namespace setun::cuda
