#include "nn/norm.h"

#include <ATen/ops/ones.h>

#include "ops/ops.h"

namespace setun {

NormImpl::NormImpl(NormKind kind_in, int64_t width, double eps_in, bool gain)
    : kind(kind_in), eps(eps_in) {
  SETUN_ASSERT(!gain || kind == NormKind::kRms, "a layer norm has no gain");
  if (gain) {
    weight = register_parameter("weight", at::ones({width}));
  }
}

at::Tensor NormImpl::forward(const at::Tensor& x) {
  switch (kind) {
    case NormKind::kRms:
      return ops::rms_norm(x, weight, eps);
    case NormKind::kLayer:
      return ops::layer_norm(x, eps);
  }
  return x;
}

}  // namespace setun
