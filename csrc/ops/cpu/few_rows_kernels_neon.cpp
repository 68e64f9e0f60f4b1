#define SETUN_FEW_ROWS_KERNELS few_rows_kernels_neon
#define SETUN_FEW_ROWS_KERNELS_PATH CpuPath::kNeonDot
#include "ops/cpu/few_rows_kernels_impl.h"
