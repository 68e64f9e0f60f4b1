#define SETUN_ATTENTION_KERNELS attention_kernels_avx512
#include "ops/cpu/attention_impl.h"
