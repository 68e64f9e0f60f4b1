// Four neighbouring elements a thread where addresses allow it, else one.
#include "step.h"

#include "exact_math.cuh"
#include "vectors.cuh"

namespace setun::cuda {

constexpr int kStepThreads = 256;

template <class T, int kWidth>
__global__ void __launch_bounds__(kStepThreads) rope_kernel(RopeParams p) {
  const int parts = p.half / kWidth;
  int64_t index = static_cast<int64_t>(blockIdx.x) * kStepThreads + threadIdx.x;
  const int i = static_cast<int>(index % parts) * kWidth;
  index /= parts;
  const int64_t head = index % p.heads;
  index /= p.heads;
  const int64_t t = index % p.time, b = index / p.time;
  if (b >= p.batch) {
    return;
  }
  const T* x = static_cast<const T*>(p.x) + b * p.x_batch + head * p.x_head + t * p.x_time + i;
  T* y = static_cast<T*>(p.y) + b * p.y_batch + head * p.y_head + t * p.y_time + i;
  float first[kWidth], second[kWidth], cos[kWidth], sin[kWidth];
  load_some(x, first);
  load_some(x + p.half, second);
  load_some(p.cos + t * p.half + i, cos);
  load_some(p.sin + t * p.half + i, sin);
#pragma unroll
  for (int j = 0; j < kWidth; ++j) {
    const float a = first[j], c = second[j], s = p.direction * sin[j];
    first[j] = a * cos[j] - c * s;
    second[j] = c * cos[j] + a * s;
  }
  store_some(y, first);
  store_some(y + p.half, second);
}

__device__ __forceinline__ float positive(float g) { return g < 0.0f ? 0.0f : g; }  // keeps NaN

__device__ __forceinline__ float activated(GatedRule rule, float g) {
  return rule == GatedRule::kSilu ? g / (1.0f + exact_exp(-g)) : positive(g) * positive(g);
}

struct Slope {
  float value, slope;
};
__device__ __forceinline__ Slope activated_with_slope(GatedRule rule, float g) {
  if (rule == GatedRule::kRelu2) {
    const float r = positive(g);
    return {r * r, 2.0f * r};
  }
  const float s = 1.0f / (1.0f + exact_exp(-g));
  return {g * s, s * (1.0f + g * (1.0f - s))};
}

template <class T, int kWidth>
__global__ void __launch_bounds__(kStepThreads) gated_kernel(GatedParams p) {
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * kStepThreads + threadIdx.x) * kWidth;
  if (i >= p.count) {
    return;
  }
  float gate[kWidth], up[kWidth];
  load_some(static_cast<const T*>(p.gate) + i, gate);
  load_some(static_cast<const T*>(p.up) + i, up);
#pragma unroll
  for (int j = 0; j < kWidth; ++j) {
    gate[j] = activated(p.rule, gate[j]) * up[j];
  }
  store_some(static_cast<T*>(p.y) + i, gate);
}

template <class T, int kWidth>
__global__ void __launch_bounds__(kStepThreads) gated_backward_kernel(GatedParams p) {
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * kStepThreads + threadIdx.x) * kWidth;
  if (i >= p.count) {
    return;
  }
  float gate[kWidth], up[kWidth], dy[kWidth];
  load_some(static_cast<const T*>(p.gate) + i, gate);
  load_some(static_cast<const T*>(p.up) + i, up);
  load_some(static_cast<const T*>(p.dy) + i, dy);
#pragma unroll
  for (int j = 0; j < kWidth; ++j) {
    const Slope act = activated_with_slope(p.rule, gate[j]);
    gate[j] = dy[j] * up[j] * act.slope;
    up[j] = dy[j] * act.value;
  }
  store_some(static_cast<T*>(p.d_gate) + i, gate);
  store_some(static_cast<T*>(p.d_up) + i, up);
}

namespace {

unsigned step_grid(int64_t threads) {
  return static_cast<unsigned>((threads + kStepThreads - 1) / kStepThreads);
}

}  // namespace

cudaError_t rope(const RopeParams& p, cudaStream_t stream) {
  const size_t bytes = 4 * (p.is_bf16 ? 2 : 4);
  const auto fours = [](int64_t a, int64_t b, int64_t c) { return (a | b | c) % 4 == 0; };
  const bool four = p.half % 4 == 0 && fours(p.x_batch, p.x_head, p.x_time) &&
                    fours(p.y_batch, p.y_head, p.y_time) && aligned(p.x, bytes) &&
                    aligned(p.y, bytes) && aligned(p.cos, 16) && aligned(p.sin, 16);
  const int64_t pairs = p.batch * p.heads * p.time * p.half;
  if (pairs < 1) {
    return cudaErrorInvalidValue;
  }
  const dim3 grid(step_grid(four ? pairs / 4 : pairs)), block(kStepThreads);
  if (four) {
    return p.is_bf16 ? launch(rope_kernel<bf16, 4>, grid, block, 0, stream, p)
                     : launch(rope_kernel<float, 4>, grid, block, 0, stream, p);
  }
  return p.is_bf16 ? launch(rope_kernel<bf16, 1>, grid, block, 0, stream, p)
                   : launch(rope_kernel<float, 1>, grid, block, 0, stream, p);
}

namespace {

// The kernel for the type and width of p's arrays.
template <class Kernel>
cudaError_t run_gated(const GatedParams& p, Kernel wide_bf16, Kernel wide, Kernel one_bf16,
                      Kernel one, cudaStream_t stream) {
  if (p.count < 1) {
    return cudaErrorInvalidValue;
  }
  bool four = p.count % 4 == 0;
  for (const void* array : {p.gate, p.up, p.dy, static_cast<const void*>(p.y),
                            static_cast<const void*>(p.d_gate), static_cast<const void*>(p.d_up)}) {
    four = four && aligned(array, 4 * (p.is_bf16 ? 2 : 4));
  }
  const dim3 grid(step_grid(four ? p.count / 4 : p.count));
  const Kernel kernel = four ? (p.is_bf16 ? wide_bf16 : wide) : (p.is_bf16 ? one_bf16 : one);
  return launch(kernel, grid, dim3(kStepThreads), 0, stream, p);
}

}  // namespace

cudaError_t gated_activation(const GatedParams& p, cudaStream_t stream) {
  return run_gated(p, gated_kernel<bf16, 4>, gated_kernel<float, 4>, gated_kernel<bf16, 1>,
                   gated_kernel<float, 1>, stream);
}

cudaError_t gated_backward(const GatedParams& p, cudaStream_t stream) {
  return run_gated(p, gated_backward_kernel<bf16, 4>, gated_backward_kernel<float, 4>,
                   gated_backward_kernel<bf16, 1>, gated_backward_kernel<float, 1>, stream);
}

}  // namespace setun::cuda
