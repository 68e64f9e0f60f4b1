#define SETUN_FEW_ROWS_KERNELS few_rows_kernels_avx2
#define SETUN_FEW_ROWS_KERNELS_PATH CpuPath::kAvx2
#include "ops/cpu/few_rows_kernels_impl.h"
