#define SETUN_ROW_KERNELS row_kernels_avx2
#define SETUN_ROW_KERNELS_PATH CpuPath::kAvx2
#include "ops/cpu/row_kernels_impl.h"
