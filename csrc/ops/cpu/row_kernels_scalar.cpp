#define SETUN_ROW_KERNELS row_kernels_scalar
#include "ops/cpu/row_kernels_impl.h"
