// RMSNorm over the last dimension with an optional learned gain; fp32 inside (ops::rms_norm has the
// formula).
#pragma once

#include "nn/torch_module.h"

namespace setun {

struct RmsNormImpl : torch::nn::Module {
  RmsNormImpl(int64_t width, double eps, bool gain);
  at::Tensor forward(const at::Tensor& x);

  double eps;
  at::Tensor weight;  // fp32 [width]; undefined without gain
};
TORCH_MODULE(RmsNorm);

}  // namespace setun
