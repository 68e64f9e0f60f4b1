// RMSNorm with an optional learned gain, or LayerNorm without affine, over the last dimension; fp32
// inside (ops::rms_norm and ops::layer_norm have the formulas).
#pragma once

#include "model/model_options.h"
#include "nn/torch_module.h"

namespace setun {

struct NormImpl : torch::nn::Module {
  // A layer norm has no gain.
  NormImpl(NormKind kind, int64_t width, double eps, bool gain);
  at::Tensor forward(const at::Tensor& x);

  NormKind kind;
  double eps;
  at::Tensor weight;  // fp32 [width]; undefined without gain
};
TORCH_MODULE(Norm);

}  // namespace setun
