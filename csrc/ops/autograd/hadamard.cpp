// The derivative of hadamard: the matrix is symmetric, so dx is the same transform of dy, rounded
// to x's type. It is taken through the operator itself, so it can be differentiated again.
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "ops/ops.h"

namespace setun::ops {
namespace {

struct HadamardFunction : torch::autograd::Function<HadamardFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& x,
                            int64_t block) {
    const at::AutoDispatchBelowADInplaceOrView below;
    ctx->saved_data["block"] = block;
    ctx->saved_data["type"] = static_cast<int64_t>(x.scalar_type());
    return hadamard(x, block);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list upstream) {
    const auto type = static_cast<at::ScalarType>(ctx->saved_data["type"].toInt());
    return {hadamard(upstream[0], ctx->saved_data["block"].toInt()).to(type), at::Tensor()};
  }
};

at::Tensor hadamard_autograd(const at::Tensor& x, int64_t block) {
  return HadamardFunction::apply(x, block);
}

}  // namespace

TORCH_LIBRARY_IMPL(setun, Autograd, m) { m.impl("hadamard", hadamard_autograd); }

}  // namespace setun::ops
