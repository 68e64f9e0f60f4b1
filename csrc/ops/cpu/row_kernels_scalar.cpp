#define SETUN_ROW_KERNELS row_kernels_scalar
#define SETUN_ROW_KERNELS_PATH CpuPath::kScalar
#include "ops/cpu/row_kernels_impl.h"
