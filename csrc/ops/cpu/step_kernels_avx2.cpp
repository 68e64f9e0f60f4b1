#define SETUN_STEP_KERNELS step_kernels_avx2
#include "ops/cpu/step_kernels_impl.h"
