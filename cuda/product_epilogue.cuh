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

__device__ __forceinline__ float token_scaled(const ProductParams& p, int m, float v) {
  return p.token_divides ? v / p.token_scale[m] : v * p.token_scale[m];
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
