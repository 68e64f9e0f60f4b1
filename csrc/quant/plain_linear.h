// Products of full-precision weights, as linear layers and heads make them: the one place that
// chooses between LibTorch's product and the operator for few rows. Training and evaluation always
// take LibTorch's.
#pragma once

#include <ATen/core/Tensor.h>

namespace setun {

// While one lives, this thread generates: a forward pass with a cache, which nothing is learned
// from. (Without gradients is not enough: a recomputed block's first pass has none either.)
class GenerationScope {
 public:
  explicit GenerationScope(bool generates);
  ~GenerationScope();
  GenerationScope(const GenerationScope&) = delete;
  GenerationScope& operator=(const GenerationScope&) = delete;

 private:
  bool before_;
};

// x W^T + bias in the weight's type, fp32 or bf16: x [..., I] of any float type, weight [O, I],
// bias [O] or undefined. In generation few rows go through ops::few_rows_linear, as many as it is
// the faster for.
at::Tensor plain_linear(const at::Tensor& x, const at::Tensor& weight_OI, const at::Tensor& bias);

}  // namespace setun
