#include "ops/cpu/attention_kernels.h"

#include "base/cpu_features.h"

namespace setun::ops::cpu {

const AttentionKernels& attention_kernels() {
  switch (cpu_path()) {
#if defined(__x86_64__)
    case CpuPath::kAvx512Vnni:
    case CpuPath::kAvx512:
      return attention_kernels_avx512();
    case CpuPath::kAvx2:
      return attention_kernels_avx2();
#endif
    default:  // the portable build uses NEON where the compiler may assume it
      return attention_kernels_scalar();
  }
}

}  // namespace setun::ops::cpu
