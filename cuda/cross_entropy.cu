// One block a row, three passes over it: maximum, sum, gradient. A warp adds every 8th block of
// 4096 classes, so that the order of the sum does not depend on the number of warps.
#include "cross_entropy.h"

#include "exact_math.cuh"
#include "reduce.cuh"
#include "vectors.cuh"

namespace setun::cuda {

constexpr int kClassWarps = 8, kClassThreads = 32 * kClassWarps;
constexpr int kClassBlocks = kMaxClasses / kSumBlock;

template <class T>
__device__ __forceinline__ float row_maximum(const T* z, int columns, float* parts) {
  float largest = -__uint_as_float(0x7f800000u);
  bool finite = true;  // fmaxf would drop a NaN
  for (int i = static_cast<int>(threadIdx.x); i < columns; i += kClassThreads) {
    const float v = to_float(z[i]);
    largest = fmaxf(largest, v);
    finite = finite && v == v;
  }
  const bool all_finite = __syncthreads_count(finite ? 1 : 0) == kClassThreads;
  largest = lanes_max(largest);
  if (lane_id() == 0) {
    parts[warp_id()] = largest;
  }
  __syncthreads();
  largest = parts[0];
  for (int w = 1; w < kClassWarps; ++w) {
    largest = fmaxf(largest, parts[w]);
  }
  __syncthreads();
  return all_finite ? largest : quiet_nan();
}

template <class T>
__device__ __forceinline__ float row_exp_sum(const T* z, int columns, float largest, float* parts) {
  return sum_of_blocks<kClassWarps>(columns, parts,
                                    [&](int i) { return exact_exp(to_float(z[i]) - largest); });
}

template <class T>
__global__ void __launch_bounds__(kClassThreads) cross_entropy_kernel(CrossEntropyParams p) {
  SETUN_SHARED(float, parts, [kClassBlocks]);
  const int64_t row = blockIdx.x;
  T* z = static_cast<T*>(p.logits) + row * p.columns;
  const int64_t target = p.targets[row];
  const bool is_class = target >= 0 && target < p.columns;
  if (target == p.ignored || !is_class) {
    for (int i = static_cast<int>(threadIdx.x); p.gradient && i < p.columns; i += kClassThreads) {
      store(z + i, 0.0f);
    }
    if (threadIdx.x == 0) {
      p.losses[row] = target == p.ignored ? 0.0f : quiet_nan();
    }
    return;
  }
  const float largest = row_maximum(z, p.columns, parts);
  const float sum = row_exp_sum(z, p.columns, largest, parts);
  const float at_target = to_float(z[target]), inverse = 1.0f / sum;
  __syncthreads();  // all have read the target's logit
  for (int i = static_cast<int>(threadIdx.x); p.gradient && i < p.columns; i += kClassThreads) {
    const float share = exact_exp(to_float(z[i]) - largest) * inverse;
    store(z + i, (share - (i == target ? 1.0f : 0.0f)) * p.grad_scale);
  }
  if (threadIdx.x == 0) {
    p.losses[row] = exact_log(sum) + (largest - at_target);
  }
}

cudaError_t cross_entropy(const CrossEntropyParams& p, cudaStream_t stream) {
  if (p.rows < 1 || p.columns < 1 || p.columns > kMaxClasses) {
    return cudaErrorInvalidValue;
  }
  const dim3 grid(static_cast<unsigned>(p.rows)), block(kClassThreads);
  return p.is_bf16 ? launch(cross_entropy_kernel<bf16>, grid, block, 0, stream, p)
                   : launch(cross_entropy_kernel<float>, grid, block, 0, stream, p);
}

}  // namespace setun::cuda
