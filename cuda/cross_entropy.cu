// One block a row, three passes over it: maximum, sum, gradient. The sum is made of halves,
// e^x / 2, because a power of two changes no bit; a warp adds every 8th block of 4096 classes, so
// that its order does not depend on the number of warps. The exponential is computed in two passes
// rather than kept: a row of fp32 would fill an SM's shared memory.
#include "cross_entropy.h"

#include "exact_math.cuh"
#include "reduce.cuh"
#include "vectors.cuh"

namespace setun::cuda {

constexpr int kClassWarps = 8, kClassThreads = 32 * kClassWarps;
constexpr int kClassBlocks = kMaxClasses / kSumBlock;

// body(i) for the thread's pieces of kWidth classes.
template <int kWidth, class F>
__device__ __forceinline__ void for_classes(int columns, const F& body) {
#pragma unroll 1
  for (int i = static_cast<int>(threadIdx.x) * kWidth; i < columns; i += kClassThreads * kWidth) {
    body(i);
  }
}

// The largest logit that is a number; NaN comes back in the sum.
template <int kWidth, class T>
__device__ __forceinline__ float row_maximum(const T* z, int columns, float* parts) {
  float largest = -__uint_as_float(0x7f800000u);
  for_classes<kWidth>(columns, [&](int i) {
    float v[kWidth];
    load_some(z + i, v);
    for (const float x : v) {
      largest = fmaxf(largest, x);
    }
  });
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
  return largest;
}

template <int kWidth, class T>
__device__ __forceinline__ void clear_row(T* z, int columns) {
  const float zeros[kWidth] = {};
  for_classes<kWidth>(columns, [&](int i) { store_some(z + i, zeros); });
}

// z becomes (e^(z - largest) / sum - onehot(target)) * scale; half_sum is sum / 2.
template <int kWidth, class T>
__device__ __forceinline__ void store_gradient(T* z, int columns, float largest, float half_sum,
                                               int target, float scale) {
  const float inverse = 1.0f / half_sum;
  for_classes<kWidth>(columns, [&](int i) {
    float v[kWidth];
    load_some(z + i, v);
    for (float& x : v) {
      x = half_exp(x - largest) * inverse;
    }
    if (i <= target && target < i + kWidth) {
      for (int j = 0; j < kWidth; ++j) {
        v[j] -= i + j == target ? 1.0f : 0.0f;
      }
    }
    for (float& x : v) {
      x *= scale;
    }
    store_some(z + i, v);
  });
}

// kWidth: 16 bytes of T where rows are made of such pieces, else 1.
template <class T, int kWidth>
__global__ void __launch_bounds__(kClassThreads) cross_entropy_kernel(CrossEntropyParams p) {
  SETUN_SHARED(float, parts, [kClassBlocks]);
  const int64_t row = blockIdx.x;
  T* z = static_cast<T*>(p.logits) + row * p.columns;
  const int64_t target = p.targets[row];
  const bool is_class = target >= 0 && target < p.columns;
  if (target == p.ignored || !is_class) {
    if (p.gradient) {
      clear_row<kWidth>(z, p.columns);
    }
    if (threadIdx.x == 0) {
      p.losses[row] = target == p.ignored ? 0.0f : quiet_nan();
    }
    return;
  }
  const float largest = row_maximum<kWidth>(z, p.columns, parts);
  const float half_sum = sum_of_blocks<kClassWarps, 8>(
      p.columns, parts, [&](int i) { return half_exp(to_float(z[i]) - largest); });
  const float at_target = to_float(z[target]), sum = 2.0f * half_sum;
  __syncthreads();  // all have read the target's logit
  if (p.gradient) {
    store_gradient<kWidth>(z, p.columns, largest, half_sum, static_cast<int>(target), p.grad_scale);
  }
  if (threadIdx.x == 0) {
    p.losses[row] = sum == sum ? exact_log(sum) + (largest - at_target) : quiet_nan();
  }
}

namespace {

template <class T>
cudaError_t launch_rows(const CrossEntropyParams& p, cudaStream_t stream) {
  constexpr int kWide = 16 / sizeof(T);
  const dim3 grid(static_cast<unsigned>(p.rows)), block(kClassThreads);
  return p.columns % kWide == 0 && aligned(p.logits, 16)
             ? launch(cross_entropy_kernel<T, kWide>, grid, block, 0, stream, p)
             : launch(cross_entropy_kernel<T, 1>, grid, block, 0, stream, p);
}

}  // namespace

cudaError_t cross_entropy(const CrossEntropyParams& p, cudaStream_t stream) {
  if (p.rows < 1 || p.columns < 1 || p.columns > kMaxClasses) {
    return cudaErrorInvalidValue;
  }
  return p.is_bf16 ? launch_rows<bf16>(p, stream) : launch_rows<float>(p, stream);
}

}  // namespace setun::cuda
