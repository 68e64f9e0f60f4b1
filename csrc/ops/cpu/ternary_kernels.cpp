#include "ops/cpu/ternary_kernels.h"

namespace setun::ops::cpu {

const TernaryKernels& ternary_kernels() {
#if defined(__x86_64__)
  switch (cpu_path()) {
    case CpuPath::kAvx512Vnni:
      return ternary_kernels_avx512_vnni();
    case CpuPath::kAvx512:  // without VNNI the wider registers gain nothing here
    case CpuPath::kAvx2:
      return ternary_kernels_avx2();
    case CpuPath::kScalar:
      break;
  }
#endif
  return ternary_kernels_scalar();
}

}  // namespace setun::ops::cpu
