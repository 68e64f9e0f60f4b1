// exp and log by operations that round the same everywhere: additions, multiplications and fused
// multiply-adds. Cephes' scheme of range reduction; the coefficients are Taylor's, long enough for
// fp32 on the reduced ranges.
#pragma once

#include "gpu.h"

namespace setun::cuda {

// e^x for x <= 0; 0 below -87.
__device__ __forceinline__ float exact_exp(float x) {
  if (!(x >= -87.0f)) {
    return x != x ? x : 0.0f;
  }
  const float kRoundShift = 12582912.0f;
  const float n = (x * 1.44269504f + kRoundShift) - kRoundShift;
  float r = __fmaf_rn(n, -0.693359375f, x);  // ln 2 in two parts, the first exact times n
  r = __fmaf_rn(n, 2.12194440e-4f, r);
  float y = 1.0f / 5040.0f;
  const float coefficients[7] = {1.0f / 720.0f, 1.0f / 120.0f, 1.0f / 24.0f, 1.0f / 6.0f,
                                 0.5f,          1.0f,          1.0f};
#pragma unroll
  for (const float c : coefficients) {
    y = __fmaf_rn(y, r, c);
  }
  return y * __uint_as_float(static_cast<unsigned>(static_cast<int>(n) + 127) << 23);
}

// ln x for normal x > 0.
__device__ __forceinline__ float exact_log(float x) {
  const unsigned bits = __float_as_uint(x);
  int exponent = static_cast<int>(bits >> 23) - 127;
  float m = __uint_as_float((bits & 0x007fffffu) | 0x3f800000u);
  if (m > 1.41421356f) {
    m *= 0.5f;
    ++exponent;
  }
  // ln m = 2 atanh(s), s = (m - 1) / (m + 1)
  const float s = (m - 1.0f) / (m + 1.0f), square = s * s;
  float y = 1.0f / 11.0f;
  const float coefficients[5] = {1.0f / 9.0f, 1.0f / 7.0f, 1.0f / 5.0f, 1.0f / 3.0f, 1.0f};
#pragma unroll
  for (const float c : coefficients) {
    y = __fmaf_rn(y, square, c);
  }
  const float e = static_cast<float>(exponent);
  return __fmaf_rn(e, 0.693359375f, __fmaf_rn(e, -2.12194440e-4f, 2.0f * s * y));
}

}  // namespace setun::cuda
