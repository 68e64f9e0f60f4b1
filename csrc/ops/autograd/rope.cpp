// The derivative of rope in x: the rotation is orthogonal, so it is the rotation by the negative
// angle and nothing but the tables is kept. It is taken through the operator itself, so it can be
// differentiated again. The tables get no gradient.
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "ops/step_ops.h"

namespace setun::ops {
namespace {

struct RopeFunction : torch::autograd::Function<RopeFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& x,
                            const at::Tensor& cos, const at::Tensor& sin, bool inverse) {
    const at::AutoDispatchBelowADInplaceOrView below;
    ctx->save_for_backward({cos, sin});
    ctx->saved_data["inverse"] = inverse;
    return rope(x, cos, sin, inverse);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list upstream) {
    const auto saved = ctx->get_saved_variables();
    const bool inverse = ctx->saved_data["inverse"].toBool();
    return {rope(upstream[0], saved[0], saved[1], !inverse), at::Tensor(), at::Tensor(),
            at::Tensor()};
  }
};

at::Tensor rope_autograd(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin,
                         bool inverse) {
  return RopeFunction::apply(x, cos, sin, inverse);
}

}  // namespace

TORCH_LIBRARY_IMPL(setun, Autograd, m) { m.impl("rope", rope_autograd); }

}  // namespace setun::ops
