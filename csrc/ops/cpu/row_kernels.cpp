#include "ops/cpu/row_kernels.h"

namespace setun::ops::cpu {

const RowKernels& row_kernels() {
  switch (cpu_path()) {
#if defined(__x86_64__)
    case CpuPath::kAvx512Vnni:
    case CpuPath::kAvx512:
      return row_kernels_avx512();
    case CpuPath::kAvx2:
      return row_kernels_avx2();
#endif
    default:  // the portable build uses NEON where the compiler may assume it
      return row_kernels_scalar();
  }
}

float sum_tree(const float* values, int64_t n) {
  if (n == 1) {
    return values[0];
  }
  const int64_t half = (n + 1) / 2;
  return sum_tree(values, half) + sum_tree(values + half, n - half);
}

}  // namespace setun::ops::cpu
