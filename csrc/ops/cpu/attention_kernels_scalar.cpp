#define SETUN_ATTENTION_KERNELS attention_kernels_scalar
#include "ops/cpu/attention_impl.h"
