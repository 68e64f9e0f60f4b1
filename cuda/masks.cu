// A thread makes a word of 32 columns, or one element.
#include "masks.h"

#include "gpu.h"
#include "layouts.h"

namespace setun::cuda {

constexpr int kMaskThreads = 256;

__device__ __forceinline__ int64_t mask_thread() {
  return static_cast<int64_t>(blockIdx.x) * kMaskThreads + threadIdx.x;
}

__global__ void __launch_bounds__(kMaskThreads) pack_mask_kernel(PackMaskParams p) {
  const int64_t words = divide_up(p.columns, 32), index = mask_thread();
  const int64_t row = index / words, first = index % words * 32;
  if (row >= p.rows) {
    return;
  }
  const uint8_t* keep = p.keep + row * p.columns + first;
  uint32_t word = 0;
  for (int i = 0; i < 32 && first + i < p.columns; ++i) {
    word |= static_cast<uint32_t>(keep[i] & 1) << i;
  }
  p.bits[index] = word;
}

template <class T>
__global__ void __launch_bounds__(kMaskThreads) masked_kernel(MaskedParams p) {
  const int64_t i = mask_thread();
  if (i >= p.rows * p.columns) {
    return;
  }
  const int64_t row = i / p.columns, column = i % p.columns;
  const uint32_t word = p.bits[row * divide_up(p.columns, 32) + column / 32];
  const bool kept = ((word >> (column % 32)) & 1u) != 0;
  static_cast<T*>(p.dx)[i] = kept ? static_cast<const T*>(p.dy)[i] : T{};
}

cudaError_t pack_mask(const PackMaskParams& p, cudaStream_t stream) {
  const int64_t words = p.rows * divide_up(p.columns, 32);
  return launch(pack_mask_kernel, dim3(static_cast<unsigned>(divide_up(words, kMaskThreads))),
                dim3(kMaskThreads), 0, stream, p);
}

cudaError_t apply_mask(const MaskedParams& p, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(divide_up(p.rows * p.columns, kMaskThreads)));
  return p.is_bf16 ? launch(masked_kernel<bf16>, grid, dim3(kMaskThreads), 0, stream, p)
                   : launch(masked_kernel<float>, grid, dim3(kMaskThreads), 0, stream, p);
}

}  // namespace setun::cuda
