#define SETUN_FEW_ROWS_KERNELS few_rows_kernels_avx512_vnni
#define SETUN_FEW_ROWS_KERNELS_PATH CpuPath::kAvx512Vnni
#include "ops/cpu/few_rows_kernels_impl.h"
