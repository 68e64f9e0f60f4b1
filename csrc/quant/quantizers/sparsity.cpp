#include "quant/quantizers/sparsity.h"

#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <cmath>

#include "ops/ops.h"

namespace setun {

int64_t kept_features(const SparsitySpec& spec, int64_t width) {
  // 1e-9: a share such as 0.7 that is a little below itself in binary still keeps 7 of 10.
  const double kept = std::floor(spec.keep * static_cast<double>(width) + 1e-9);
  return std::max<int64_t>(1, static_cast<int64_t>(kept));
}

SparsityMask sparsity_mask(const at::Tensor& x, const SparsitySpec& spec) {
  SparsityMask mask;
  switch (spec.kind) {
    case SparsityKind::kNone:
      return mask;
    case SparsityKind::kTopk:
      mask.keep = ops::topk_mask(x, kept_features(spec, x.size(-1)));
      break;
    case SparsityKind::kNm:
      mask.keep = ops::nm_mask(x, spec.n, spec.m);
      break;
  }
  if (spec.rescale == Rescale::kL2) {
    // In double: squares of fp32 values neither overflow nor vanish.
    const at::Tensor wide = x.to(at::kDouble).contiguous();
    const at::Tensor all = at::linalg_vector_norm(wide, 2, -1, /*keepdim=*/true);
    const at::Tensor kept = at::linalg_vector_norm(wide.mul(mask.keep), 2, -1, /*keepdim=*/true);
    mask.factor = at::where(kept.eq(0), at::ones_like(kept), all.div(kept)).to(at::kFloat);
  }
  return mask;
}

}  // namespace setun
