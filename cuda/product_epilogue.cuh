// What the products share: groups, scales, and storing in whole 32-byte sectors.
#pragma once

#include "products.h"
#include "reduce.cuh"

namespace setun::cuda {

__device__ __forceinline__ int groups_of(const ProductParams& p) {
  return p.group == 0 ? 1 : (p.k + p.group - 1) / p.group;
}

__device__ __forceinline__ float weight_scale_at(const ProductParams& p, int n, int g) {
  return p.weight_scale[p.weight_stride == 0 ? 0 : static_cast<int64_t>(n) * p.weight_stride + g];
}

// What an integer sum is multiplied by: with one group the whole of it, a / s, else the group's a;
// the factor of the token, 1 / s, then follows the last group.
__device__ __forceinline__ float group_factor(const ProductParams& p, int m, int n, int g) {
  const float a = weight_scale_at(p, n, g);
  if (p.group > 0) {
    return a;
  }
  return p.token_divides ? a / p.token_scale[m] : a * p.token_scale[m];
}

__device__ __forceinline__ float token_scaled(const ProductParams& p, int m, float v) {
  if (p.group == 0) {
    return v;
  }
  return v * (p.token_divides ? 1.0f / p.token_scale[m] : p.token_scale[m]);
}

__device__ __forceinline__ float dequantized(const ProductParams& p, int m, int n, float v) {
  const float y = token_scaled(p, m, v);
  return p.residual != nullptr ? y + p.residual[m * p.out_stride + n] : y;
}

__device__ __forceinline__ void store_one(const ProductParams& p, int m, int n, float y) {
  const int64_t at = m * p.out_stride + n;
  if (p.out_bf16) {
    static_cast<bf16*>(p.out)[at] = to_bf16(y);
  } else {
    static_cast<float*>(p.out)[at] = y;
  }
}

}  // namespace setun::cuda
