#define SETUN_ROW_KERNELS row_kernels_avx512
#define SETUN_ROW_KERNELS_PATH CpuPath::kAvx512
#include "ops/cpu/row_kernels_impl.h"
