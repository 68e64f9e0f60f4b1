// A warp updates a block of 4096 elements, the block of the canonical sum, and adds |w| as it goes.
#include "adamw.h"

#include "reduce.cuh"

namespace setun::cuda {

constexpr int kUpdateWarps = 8;

struct Factors {
  float clip, decay, rate, correction, eps, first, beta2, second;
};

__device__ __forceinline__ float updated(const AdamWParams& p, const Factors& f, int64_t i) {
  const float g = f.clip * p.grad[i];
  const float m = p.m[i] + f.first * (g - p.m[i]);
  const float v = f.beta2 * p.v[i] + f.second * g * g;
  const float w = f.decay * p.w[i] - f.rate * m / (f.correction * sqrtf(v) + f.eps);
  p.m[i] = m;
  p.v[i] = v;
  p.w[i] = w;
  return w;
}

__global__ void __launch_bounds__(32 * kUpdateWarps) adamw_kernel(AdamWParams p) {
  const int64_t count = p.rows * p.columns;
  const int64_t block = static_cast<int64_t>(blockIdx.x) * kUpdateWarps + warp_id();
  const int64_t start = block * kSumBlock;
  if (start >= count) {
    return;
  }
  const int n = count - start < kSumBlock ? static_cast<int>(count - start) : kSumBlock;
  const float* f = p.factors;
  const Factors factors{f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7]};
  const float sum = warp_sum(n, [&](int i) {
    const float w = updated(p, factors, start + i);
    return fabsf(w) + 0.0f * w;
  });
  if (lane_id() == 0) {
    p.partial[block] = sum;
  }
}

cudaError_t adamw(const AdamWParams& p, cudaStream_t stream) {
  const int64_t count = p.rows * p.columns;
  if (count < 1) {
    return cudaErrorInvalidValue;
  }
  const dim3 grid(static_cast<unsigned>(divide_up(count, int64_t{kSumBlock} * kUpdateWarps)));
  return launch(adamw_kernel, grid, dim3(32 * kUpdateWarps), 0, stream, p);
}

cudaError_t adamw_ternary(const AdamWTernaryParams& p, cudaStream_t stream) {
  const AdamWParams& u = p.update;
  const WeightScaleParams scale{u.w,   false,   u.rows,  u.columns, p.group, WeightRule::kAbsmean,
                                p.eps, p.scale, nullptr, u.partial};
  const TernaryParams codes{u.w,     false,   u.rows,  u.columns, p.group, WeightRule::kAbsmean,
                            p.scale, nullptr, nullptr, p.codes,   p.packed};
  cudaError_t error = adamw(u, stream);
  if (error == cudaSuccess) {
    error = p.group == 0 ? weight_scale_of_partial(scale, stream) : weight_scale(scale, stream);
  }
  return error == cudaSuccess ? ternary_codes(codes, stream) : error;
}

}  // namespace setun::cuda
