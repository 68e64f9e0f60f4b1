#include "quant/quantizers/clipped_activations.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/minimum.h>

#include "base/error.h"
#include "quant/quantizers/wide.h"

namespace setun {
namespace {

double levels(int64_t bits) {
  SETUN_ASSERT(bits >= 1 && bits <= 8, "bits must be 1 to 8, got ", bits);
  return static_cast<double>((int64_t{1} << bits) - 1);
}

}  // namespace

at::Tensor dorefa_activation(const at::Tensor& x, int64_t bits) {
  const c10::NoGradGuard no_grad;
  const double n = levels(bits);
  return wide(x).clamp(0, 1).mul(n).round().div(n).to(x.scalar_type());
}

at::Tensor pact_activation(const at::Tensor& x, const at::Tensor& alpha, int64_t bits) {
  const c10::NoGradGuard no_grad;
  SETUN_ASSERT(alpha.numel() == 1, "alpha must be one number, got shape ", alpha.sizes());
  const at::Tensor v = wide(x), a = alpha.to(v.scalar_type());
  const double n = levels(bits);
  const at::Tensor clipped = at::minimum(v.clamp_min(0), a);
  return clipped.mul(n).div(a).round().mul(a).div(n).to(x.scalar_type());
}

LsqPlus lsq_plus_activation(const at::Tensor& x, const at::Tensor& s, const at::Tensor& beta,
                            int64_t low, int64_t high) {
  const c10::NoGradGuard no_grad;
  SETUN_ASSERT(s.numel() == 1 && beta.numel() == 1,
               "s and beta must be one number each, got shapes ", s.sizes(), " and ", beta.sizes());
  SETUN_ASSERT(low < high && high > 0, "codes need a range with a positive end, got ", low, " to ",
               high);
  const at::Tensor v = wide(x), step = s.to(v.scalar_type()), shift = beta.to(v.scalar_type());
  const at::Tensor u = v.sub(shift).div(step);
  const at::Tensor code = u.clamp(low, high).round();
  return {u, code.mul(step).add(shift).to(x.scalar_type())};
}

}  // namespace setun
