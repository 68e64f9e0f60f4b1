#define SETUN_FEW_ROWS_KERNELS few_rows_kernels_scalar
#define SETUN_FEW_ROWS_KERNELS_PATH CpuPath::kScalar
#include "ops/cpu/few_rows_kernels_impl.h"
