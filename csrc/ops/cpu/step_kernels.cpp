#include "ops/cpu/step_kernels.h"

#include "base/cpu_features.h"

namespace setun::ops::cpu {

const StepKernels& step_kernels() {
#if defined(__x86_64__)
  switch (cpu_path()) {
    case CpuPath::kAvx512Vnni:
    case CpuPath::kAvx512:
      return step_kernels_avx512();
    case CpuPath::kAvx2:
      return step_kernels_avx2();
    case CpuPath::kScalar:
      break;
  }
#endif
  return step_kernels_scalar();
}

}  // namespace setun::ops::cpu
