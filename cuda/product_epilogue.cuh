// What the products share: groups, scales, and storing in whole 32-byte sectors.
#pragma once

#include "products.h"
#include "reduce.cuh"

namespace setun::cuda {

__device__ __forceinline__ int groups_of(const ProductParams& p) {
  const int columns = p.group == 0 ? p.k : p.group;
  return (p.k + columns - 1) / columns;
}

__device__ __forceinline__ float weight_scale_at(const ProductParams& p, int n, int g) {
  return p.weight_scale[p.weight_stride == 0 ? 0 : static_cast<int64_t>(n) * p.weight_stride + g];
}

// What the integer sum of a row without groups is multiplied by: its weight scale a, times or over
// the token's.
__device__ __forceinline__ float whole_factor(const ProductParams& p, int m, float a) {
  return p.token_divides ? a / p.token_scale[m] : a * p.token_scale[m];
}

// With groups each integer sum is multiplied by its a, and the factor of the token, s or 1 / s,
// follows the last.
__device__ __forceinline__ float group_factor(const ProductParams& p, int m, float a) {
  return p.group > 0 ? a : whole_factor(p, m, a);
}
__device__ __forceinline__ float token_factor(const ProductParams& p, int m) {
  if (p.group == 0) {
    return 1.0f;
  }
  return p.token_divides ? 1.0f / p.token_scale[m] : p.token_scale[m];
}

// Stores an output, with the residual.
__device__ __forceinline__ void store_one(const ProductParams& p, int m, int n, float y) {
  const int64_t at = m * p.out_stride + n;
  y = p.residual != nullptr ? y + p.residual[at] : y;
  if (p.out_bf16) {
    static_cast<bf16*>(p.out)[at] = to_bf16(y);
  } else {
    static_cast<float*>(p.out)[at] = y;
  }
}

}  // namespace setun::cuda
