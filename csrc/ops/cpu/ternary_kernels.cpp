#include "ops/cpu/ternary_kernels.h"

namespace setun::ops::cpu {

const TernaryKernels& ternary_kernels() { return ternary_kernels_scalar(); }

}  // namespace setun::ops::cpu
