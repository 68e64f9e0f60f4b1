#include "nn/rms_norm.h"

#include <ATen/ops/ones.h>

#include "ops/ops.h"

namespace setun {

RmsNormImpl::RmsNormImpl(int64_t width, double eps_in, bool gain) : eps(eps_in) {
  if (gain) {
    weight = register_parameter("weight", at::ones({width}));
  }
}

at::Tensor RmsNormImpl::forward(const at::Tensor& x) { return ops::rms_norm(x, weight, eps); }

}  // namespace setun
