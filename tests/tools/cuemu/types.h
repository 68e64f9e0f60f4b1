// CUDA's qualifiers, vector types and dim3 for a kernel source that a C++ compiler reads.
// `__shared__` is deliberately not defined: kernels use SETUN_SHARED / SETUN_DYN_SHARED
// (cuda/gpu.h).
#pragma once

#include <cstddef>
#include <cstdint>

#define __global__ __attribute__((noinline, used))
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))

#define CUEMU_VEC(T, N)                                              \
  struct __align__(2 * sizeof(T)) N##2 {                             \
    T x, y;                                                          \
  };                                                                 \
  struct N##3 {                                                      \
    T x, y, z;                                                       \
  };                                                                 \
  struct __align__((4 * sizeof(T)) > 16 ? 16 : 4 * sizeof(T)) N##4 { \
    T x, y, z, w;                                                    \
  };                                                                 \
  inline N##2 make_##N##2(T x, T y) { return {x, y}; }               \
  inline N##4 make_##N##4(T x, T y, T z, T w) { return {x, y, z, w}; }
CUEMU_VEC(signed char, char)
CUEMU_VEC(unsigned char, uchar)
CUEMU_VEC(short, short)
CUEMU_VEC(unsigned short, ushort)
CUEMU_VEC(int, int)
CUEMU_VEC(unsigned, uint)
CUEMU_VEC(float, float)
CUEMU_VEC(double, double)
CUEMU_VEC(long long, longlong)
CUEMU_VEC(unsigned long long, ulonglong)
#undef CUEMU_VEC
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned X = 1, unsigned Y = 1, unsigned Z = 1) : x(X), y(Y), z(Z) {}
};

constexpr int warpSize = 32;
