#define SETUN_STEP_KERNELS step_kernels_scalar
#include "ops/cpu/step_kernels_impl.h"
