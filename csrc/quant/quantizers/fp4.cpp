#include "quant/quantizers/fp4.h"

#include <ATen/core/grad_mode.h>

#include <cmath>

#include "base/error.h"
#include "ops/ops.h"

namespace setun {

FloatBias fp4_bias_form(const at::Tensor& x_in, int64_t exponent_bits, int64_t mantissa_bits) {
  const c10::NoGradGuard no_grad;
  SETUN_ASSERT(exponent_bits >= 1 && exponent_bits <= 5 && mantissa_bits >= 0 && mantissa_bits <= 3,
               "expected 1 to 5 exponent and 0 to 3 mantissa bits, got ", exponent_bits, " and ",
               mantissa_bits);
  const at::Tensor x = x_in.to(at::kDouble), magnitude = x.abs();
  const at::Tensor c = magnitude.amax(-1, true);
  const auto m = static_cast<double>(mantissa_bits), e = static_cast<double>(exponent_bits);
  const at::Tensor bias = c.reciprocal().mul(2 - std::exp2(-m)).log2().add(std::exp2(e) - 1);
  // log2(0) is -infinity, which the maximum with 1 replaces.
  const at::Tensor exponent = magnitude.log2().add(bias).floor().clamp_min(1).sub(m).sub(bias);
  const at::Tensor step = exponent.exp2();
  const at::Tensor value = x.div(step).round().mul(step).masked_fill(c.eq(0), 0);
  return {bias.to(at::kFloat), value.to(at::kFloat)};
}

QuestFp4 quest_fp4(const at::Tensor& x_in, double constant) {
  const c10::NoGradGuard no_grad;
  const at::Tensor x = x_in.to(at::kFloat);
  // In double: squares of fp32 values neither overflow nor vanish.
  const at::Tensor rms = x.to(at::kDouble).pow(2).mean(-1, true).sqrt();
  const at::Tensor scale = rms.mul(constant).to(at::kFloat);
  return {scale, ops::round_e2m1(x.div(scale)).mul(scale).masked_fill(scale.eq(0), 0)};
}

}  // namespace setun
