// exp and log by operations that round the same everywhere: additions, multiplications and fused
// multiply-adds. Cephes' scheme of range reduction; the coefficients are Taylor's, long enough for
// fp32 on the reduced ranges.
#pragma once

#include "gpu.h"

namespace setun::cuda {

// e^x / 2 for x below 89, NaN for NaN; 0 below -86.9. Half, because 2^128 has no fp32.
__device__ __forceinline__ float half_exp(float x) {
  constexpr float kShift = 12582912.0f;     // 1.5 * 2^23, whose bits leave a shift by 23 at the top
  const float t = x < -86.9f ? -87.0f : x;  // at -87, 2^(n-1) becomes the bits of 0
  const float shifted = t * 1.44269502f + kShift, n = shifted - kShift;
  // The first product is exact, so that fusing it changes nothing.
  const float r = __fmaf_rn(n, -0.693359375f, t) - n * -2.12194442e-4f;
  float q = 1.39262504e-3f;
  q = q * r + 8.36323295e-3f;
  q = q * r + 4.16665524e-2f;
  q = q * r + 1.66665763e-1f;
  q = q * r + 0.5f;
  const float y = (q * r * r + r) + 1.0f;
  return y * __uint_as_float((__float_as_uint(shifted) << 23) + (126u << 23));  // y 2^(n-1)
}

// e^x within 2 ulp, the bits of csrc/ops/cpu/exp_impl.h.
__device__ __forceinline__ float exact_exp(float x) {
  return 2.0f * half_exp(x > 89.0f ? 89.0f : x);
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
