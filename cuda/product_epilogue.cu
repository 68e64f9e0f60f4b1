// The product of many rows that cuBLASLt has made: its int32 sums to values, with the arithmetic
// that the kernels of products.h do where they store. A thread makes four neighbours of a row.
#include "product_epilogue.cuh"

namespace setun::cuda {

constexpr int kEpilogueThreads = 256;

__global__ void __launch_bounds__(kEpilogueThreads) dequantize_product_kernel(ProductParams p) {
  const int64_t quads = divide_up(p.n, 4);
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kEpilogueThreads + threadIdx.x;
  const int m = static_cast<int>(index / quads), n = static_cast<int>(index % quads) * 4;
  if (m >= p.m) {
    return;
  }
  const int32_t* acc = p.accumulators + static_cast<int64_t>(m) * p.n + n;
  for (int i = 0; i < 4 && n + i < p.n; ++i) {
    const float factor = whole_factor(p, m, weight_scale_at(p, n + i, 0));
    store_one(p, m, n + i, static_cast<float>(acc[i]) * factor);
  }
}

cudaError_t dequantize_product(const ProductParams& p, cudaStream_t stream) {
  if (p.m < 1 || p.n < 1 || p.accumulators == nullptr || p.group != 0) {
    return cudaErrorInvalidValue;
  }
  const int64_t threads = p.m * divide_up(p.n, 4);
  return launch(dequantize_product_kernel,
                dim3(static_cast<unsigned>(divide_up(threads, kEpilogueThreads))),
                dim3(kEpilogueThreads), 0, stream, p);
}

}  // namespace setun::cuda
