// Two more uses of the 4-bit float grid of ops::round_e2m1: BitNet a4.8's formula as printed, with
// any split of exponent and mantissa, and QuEST's. No gradients. A zero row gives zeros.
#pragma once

#include <ATen/core/Tensor.h>

namespace setun {

struct FloatBias {
  at::Tensor bias;   // fp32 [..., 1]
  at::Tensor value;  // fp32 [..., K]
};

// Per token (2411.04965 eq. 8-9, the floor taken of the sum), c = max|x|: bias = log2((2 - 2^-M) /
// c) + 2^E - 1; step = 2^(max(floor(log2|x| + bias), 1) - M - bias); value = step rne(x / step).
// With E = 2, M = 1 it equals ops::fake_quantize_fp4 up to rounding. Computed in double.
FloatBias fp4_bias_form(const at::Tensor& x, int64_t exponent_bits, int64_t mantissa_bits);

struct QuestFp4 {
  at::Tensor scale;  // fp32 [..., 1]
  at::Tensor value;  // fp32 [..., K]
};

// QuEST's FP4 (2502.05003 and its code): s = constant * rms of the row; value = s E2M1(x / s).
QuestFp4 quest_fp4(const at::Tensor& x, double constant);

}  // namespace setun
