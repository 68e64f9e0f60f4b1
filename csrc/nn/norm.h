// RMSNorm with an optional learned gain, or LayerNorm without affine, over the last dimension; fp32
// inside (ops::rms_norm and ops::layer_norm have the formulas).
#pragma once

#include "nn/torch_module.h"
#include "quant/linear_input.h"

namespace setun {

struct NormImpl : torch::nn::Module {
  // A layer norm has no gain.
  NormImpl(NormKind kind, int64_t width, double eps, bool gain);
  at::Tensor forward(const at::Tensor& x) { return as_input_norm()(x); }
  InputNorm as_input_norm() const { return {kind, weight, eps}; }

  NormKind kind;
  double eps;
  at::Tensor weight;  // fp32 [width]; undefined without gain
};
TORCH_MODULE(Norm);

// x behind a norm that need not exist: what linear layers take.
inline LinearInput behind(const Norm& norm, at::Tensor x) {
  return norm ? LinearInput(std::move(x), norm->as_input_norm()) : LinearInput(std::move(x));
}

}  // namespace setun
