#include "ops/cpu/ternary_kernels.h"

namespace setun::ops::cpu {

const TernaryKernels& ternary_kernels() {
  switch (cpu_path()) {
#if defined(__x86_64__)
    case CpuPath::kAvx512Vnni:
      return ternary_kernels_avx512_vnni();
    case CpuPath::kAvx512:  // without VNNI the wider registers gain nothing here
    case CpuPath::kAvx2:
      return ternary_kernels_avx2();
#elif defined(__aarch64__)
    case CpuPath::kNeonDot:
      return ternary_kernels_neon();
#endif
    default:
      return ternary_kernels_scalar();
  }
}

}  // namespace setun::ops::cpu
