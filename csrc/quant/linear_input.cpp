#include "quant/linear_input.h"

#include "ops/ops.h"

namespace setun {

at::Tensor InputNorm::operator()(const at::Tensor& x) const {
  switch (kind) {
    case NormKind::kRms:
      return ops::rms_norm(x, gain, eps);
    case NormKind::kLayer:
      return ops::layer_norm(x, eps);
  }
  return x;
}

}  // namespace setun
