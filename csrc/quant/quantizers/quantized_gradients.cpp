#include "quant/quantizers/quantized_gradients.h"

#include <ATen/core/grad_mode.h>

#include <cmath>

#include "base/error.h"

namespace setun {
namespace {

// Divides, with 0 where the divisor is 0.
at::Tensor quotient(const at::Tensor& x, const at::Tensor& by) {
  return x.div(by).masked_fill(by.eq(0), 0);
}

void check_draws(const at::Tensor& g, const at::Tensor& u) {
  SETUN_ASSERT(u.sizes() == g.sizes(), "expected draws of shape ", g.sizes(), ", got ", u.sizes());
  SETUN_ASSERT(g.dim() >= 1 && g.numel() > 0, "expected a gradient with elements, got shape ",
               g.sizes());
}

}  // namespace

at::Tensor dorefa_gradient(const at::Tensor& g_in, const at::Tensor& u, int64_t bits) {
  const c10::NoGradGuard no_grad;
  check_draws(g_in, u);
  SETUN_ASSERT(bits >= 1 && bits <= 8, "bits must be 1 to 8, got ", bits);
  const double n = std::exp2(static_cast<double>(bits)) - 1;
  const at::Tensor g = g_in.to(at::kFloat);
  std::vector<int64_t> per_sample(static_cast<std::size_t>(g.dim()), 1);
  per_sample[0] = g.size(0);
  const at::Tensor m = g.abs().reshape({g.size(0), -1}).amax(1).reshape(per_sample);
  const at::Tensor y = quotient(g, m.mul(2)).add(0.5).add(u.to(at::kFloat).div(n)).clamp(0, 1);
  return y.mul(n).round().div(n).sub(0.5).mul(m.mul(2));
}

LbtGradient lbt_gradient(const at::Tensor& g_in, const at::Tensor& u, double kappa, int64_t bits) {
  const c10::NoGradGuard no_grad;
  check_draws(g_in, u);
  SETUN_ASSERT(bits >= 2 && bits <= 8, "bits must be 2 to 8, got ", bits);
  SETUN_ASSERT(kappa > 0 && kappa <= 1, "kappa must be in (0, 1], got ", kappa);
  const double codes_total = std::exp2(static_cast<double>(bits));
  const double end = codes_total / 2 - 1;
  const at::Tensor g = g_in.to(at::kFloat), magnitude = g.abs();
  const at::Tensor c = magnitude.max().mul(kappa), step = c.mul(2).div(codes_total - 2);
  const at::Tensor code = quotient(g.clamp(c.neg(), c), step).add(u).floor().clamp(-end, end);
  const at::Tensor clipped = magnitude.gt(c).to(at::kDouble).mean();
  const at::Tensor direction = clipped.sub(1e-3 / (codes_total - 1)).sign();
  // A NaN has no code: 0, while the value stays NaN through the step.
  return {code.nan_to_num(0).to(at::kChar), code.mul(step),
          direction.mul(0.001).add(kappa).clamp(0.001, 1)};
}

}  // namespace setun
