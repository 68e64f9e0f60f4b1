// Neighbouring elements in one access of 4 to 16 bytes, whose address is aligned to all of them.
#pragma once

#include "gpu.h"

namespace setun::cuda {

__device__ __forceinline__ void load_four(const float* from, float (&to)[4]) {
  const float4 v = *reinterpret_cast<const float4*>(from);
  to[0] = v.x;
  to[1] = v.y;
  to[2] = v.z;
  to[3] = v.w;
}
__device__ __forceinline__ void load_four(const bf16* from, float (&to)[4]) {
  const uint2 v = *reinterpret_cast<const uint2*>(from);
  to[0] = __uint_as_float(v.x << 16);
  to[1] = __uint_as_float(v.x & 0xffff0000u);
  to[2] = __uint_as_float(v.y << 16);
  to[3] = __uint_as_float(v.y & 0xffff0000u);
}

__device__ __forceinline__ void store_four(float* to, const float (&v)[4]) {
  *reinterpret_cast<float4*>(to) = make_float4(v[0], v[1], v[2], v[3]);
}
__device__ __forceinline__ void store_four(bf16* to, const float (&v)[4]) {
  *reinterpret_cast<uint2*>(to) = make_uint2(bf16_pair(v[0], v[1]), bf16_pair(v[2], v[3]));
}
__device__ __forceinline__ void store_four(int8_t* to, const int (&v)[4]) {
  char4 four;
  four.x = static_cast<signed char>(v[0]);
  four.y = static_cast<signed char>(v[1]);
  four.z = static_cast<signed char>(v[2]);
  four.w = static_cast<signed char>(v[3]);
  *reinterpret_cast<char4*>(to) = four;
}

__device__ __forceinline__ void load_eight(const bf16* from, float (&to)[8]) {
  const uint4 v = *reinterpret_cast<const uint4*>(from);
  const uint32_t pairs[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
  for (int j = 0; j < 8; ++j) {
    to[j] = __uint_as_float(j % 2 == 0 ? pairs[j / 2] << 16 : pairs[j / 2] & 0xffff0000u);
  }
}
__device__ __forceinline__ void store_eight(bf16* to, const float (&v)[8]) {
  *reinterpret_cast<uint4*>(to) = make_uint4(bf16_pair(v[0], v[1]), bf16_pair(v[2], v[3]),
                                             bf16_pair(v[4], v[5]), bf16_pair(v[6], v[7]));
}

// Columns first to first + 3 of a row, 0 for those it does not have; at once where `fours` says
// that rows are made of whole, aligned fours.
template <class T>
__device__ __forceinline__ void load_columns(const T* row, int first, int columns, bool fours,
                                             float (&to)[4]) {
  if (fours) {
    load_four(row + first, to);
    return;
  }
  for (int b = 0; b < 4; ++b) {
    to[b] = first + b < columns ? to_float(row[first + b]) : 0.0f;
  }
}

__device__ __forceinline__ void store(float* to, float v) { *to = v; }
__device__ __forceinline__ void store(bf16* to, float v) { *to = to_bf16(v); }

template <class T>
__device__ __forceinline__ void store_columns(T* row, int first, int columns, bool fours,
                                              const float (&v)[4]) {
  if (fours) {
    store_four(row + first, v);
    return;
  }
  for (int b = 0; b < 4 && first + b < columns; ++b) {
    store(row + first + b, v[b]);
  }
}

// kWidth elements: 4 or 8 aligned ones at once, or 1 anywhere.
template <int kWidth, class T>
__device__ __forceinline__ void load_some(const T* from, float (&v)[kWidth]) {
  if constexpr (kWidth == 8) {
    load_eight(from, v);
  } else if constexpr (kWidth == 4) {
    load_four(from, v);
  } else {
    v[0] = to_float(*from);
  }
}
template <int kWidth, class T>
__device__ __forceinline__ void store_some(T* to, const float (&v)[kWidth]) {
  if constexpr (kWidth == 8) {
    store_eight(to, v);
  } else if constexpr (kWidth == 4) {
    store_four(to, v);
  } else {
    store(to, v[0]);
  }
}

}  // namespace setun::cuda
