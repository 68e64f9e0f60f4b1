#include "ops/cpu/few_rows_kernels.h"

namespace setun::ops::cpu {

const FewRowsKernels& few_rows_kernels() {
  switch (cpu_path()) {
#if defined(__x86_64__)
    case CpuPath::kAvx512Vnni:
      return few_rows_kernels_avx512_vnni();
    case CpuPath::kAvx512:
      return few_rows_kernels_avx512();
    case CpuPath::kAvx2:
      return few_rows_kernels_avx2();
#elif defined(__aarch64__)
    case CpuPath::kNeonDot:
      return few_rows_kernels_neon();
#endif
    default:
      return few_rows_kernels_scalar();
  }
}

}  // namespace setun::ops::cpu
