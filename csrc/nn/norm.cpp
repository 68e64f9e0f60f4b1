#include "nn/norm.h"

#include <ATen/ops/ones.h>

#include "base/error.h"

namespace setun {

NormImpl::NormImpl(NormKind kind_in, int64_t width, double eps_in, bool gain)
    : kind(kind_in), eps(eps_in) {
  SETUN_ASSERT(!gain || kind == NormKind::kRms, "a layer norm has no gain");
  if (gain) {
    weight = register_parameter("weight", at::ones({width}));
  }
}

}  // namespace setun
