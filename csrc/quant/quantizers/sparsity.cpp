#include "quant/quantizers/sparsity.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace setun {

int64_t kept_features(double fraction, int64_t features) {
  SETUN_ASSERT(fraction > 0 && fraction <= 1, "a fraction of ", fraction, " of the features");
  const double kept = std::floor(fraction * static_cast<double>(features) + 1e-9);
  return std::max<int64_t>(1, static_cast<int64_t>(kept));
}

at::Tensor l2_rescale_factor(const at::Tensor& x, const at::Tensor& mask) {
  const c10::NoGradGuard no_grad;
  // In double: squares of fp32 values neither overflow nor vanish.
  const at::Tensor wide = x.to(at::kDouble);
  const at::Tensor all = at::linalg_vector_norm(wide, 2, -1, true);
  const at::Tensor kept = at::linalg_vector_norm(wide.mul(mask), 2, -1, true);
  return at::where(kept.eq(0), at::ones_like(kept), all.div(kept)).to(at::kFloat);
}

}  // namespace setun
