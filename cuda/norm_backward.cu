// One block a row for dx. The gain's gradient adds the rows of a block of 64 in order, a thread a
// column, then the blocks in order: the CPU operator's order, whatever the grid.
#include "norm_backward.h"

#include "reduce.cuh"

namespace setun::cuda {

constexpr int kBackwardWarps = 8, kBackwardThreads = 32 * kBackwardWarps;
constexpr int kGainRows = 64, kMaxNormBlocks = 32;

// Sum of term(i) over a row, its blocks of 4096 added in order.
template <class Term>
__device__ __forceinline__ float ordered_sum(int columns, float* parts, const Term& term) {
  __syncthreads();  // parts may still be read
  return sum_of_blocks<kBackwardWarps>(columns, parts, term);
}

__global__ void __launch_bounds__(kBackwardThreads) norm_backward_kernel(NormBackwardParams p) {
  SETUN_SHARED(float, parts, [kMaxNormBlocks]);
  const int64_t row = blockIdx.x;
  const float* dy = p.dy + row * p.columns;
  const float* x = p.x + row * p.columns;
  float* dx = p.dx + row * p.columns;
  const float f = p.factor[row], n = static_cast<float>(p.columns);
  const float* gain = p.gain;
  const float dot = ordered_sum(p.columns, parts, [=](int i) {
    return gain != nullptr ? dy[i] * gain[i] * x[i] : dy[i] * x[i];
  });
  const float mean_dy =
      p.layer_norm ? ordered_sum(p.columns, parts, [=](int i) { return dy[i]; }) / n : 0.0f;
  const float mean = p.layer_norm ? dot / n : dot * f / n;
  for (int i = static_cast<int>(threadIdx.x); i < p.columns; i += kBackwardThreads) {
    if (p.layer_norm) {
      dx[i] = f * ((dy[i] - mean_dy) - x[i] * mean);
    } else {
      const float upstream = gain != nullptr ? dy[i] * gain[i] : dy[i];
      dx[i] = f * (upstream - x[i] * f * mean);
    }
  }
}

__global__ void __launch_bounds__(kBackwardThreads) gain_partial_kernel(NormBackwardParams p) {
  const int column =
      static_cast<int>(blockIdx.x) * kBackwardThreads + static_cast<int>(threadIdx.x);
  if (column >= p.columns) {
    return;
  }
  const int64_t first = static_cast<int64_t>(blockIdx.y) * kGainRows;
  float sum = 0;
  for (int64_t row = first; row < first + kGainRows && row < p.rows; ++row) {
    const int64_t at = row * p.columns + column;
    sum += p.dy[at] * (p.x[at] * p.factor[row]);
  }
  p.partial[static_cast<int64_t>(blockIdx.y) * p.columns + column] = sum;
}

__global__ void __launch_bounds__(kBackwardThreads) gain_total_kernel(NormBackwardParams p) {
  const int column =
      static_cast<int>(blockIdx.x) * kBackwardThreads + static_cast<int>(threadIdx.x);
  if (column >= p.columns) {
    return;
  }
  float sum = p.partial[column];
  for (int64_t block = 1; block < divide_up(p.rows, kGainRows); ++block) {
    sum += p.partial[block * p.columns + column];
  }
  p.gain_grad[column] = sum;
}

int64_t gain_workspace(int64_t rows, int64_t columns) {
  return divide_up(rows, kGainRows) * columns;
}

cudaError_t norm_backward(const NormBackwardParams& p, cudaStream_t stream) {
  const int64_t row_blocks = divide_up(p.rows, kGainRows);
  if (p.rows < 1 || p.columns < 1 || p.columns > kMaxNormBlocks * kSumBlock || row_blocks > 65535) {
    return cudaErrorInvalidValue;
  }
  const dim3 block(kBackwardThreads);
  const cudaError_t error =
      launch(norm_backward_kernel, dim3(static_cast<unsigned>(p.rows)), block, 0, stream, p);
  if (error != cudaSuccess || p.gain_grad == nullptr) {
    return error;
  }
  const auto columns = static_cast<unsigned>(divide_up(p.columns, kBackwardThreads));
  const cudaError_t partial = launch(
      gain_partial_kernel, dim3(columns, static_cast<unsigned>(row_blocks)), block, 0, stream, p);
  return partial != cudaSuccess ? partial
                                : launch(gain_total_kernel, dim3(columns), block, 0, stream, p);
}

}  // namespace setun::cuda
