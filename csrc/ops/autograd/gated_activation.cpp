// The derivative of gated_activation in gate and up, both from one pass over the saved pair
// (formulas in ops/cpu/gated_impl.h). A composition of stock operators would keep act(gate) too, a
// third tensor of the widest activation of the block. No second derivative.
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <tuple>

#include "ops/dispatch.h"
#include "ops/step_checks.h"
#include "ops/step_ops.h"

namespace setun::ops {
namespace {

std::tuple<at::Tensor, at::Tensor> call_backward(const at::Tensor& grad, const at::Tensor& gate,
                                                 const at::Tensor& up, GatedKind kind) {
  static const auto op = find_operator<std::tuple<at::Tensor, at::Tensor>(
      const at::Tensor&, const at::Tensor&, const at::Tensor&, c10::string_view)>(
      "setun::gated_activation_backward");
  return op.call(grad, gate, up, enum_name(kind));
}

struct GatedActivation : torch::autograd::Function<GatedActivation> {
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& gate,
                            const at::Tensor& up, GatedKind kind) {
    const at::AutoDispatchBelowADInplaceOrView below;
    ctx->save_for_backward({gate, up});
    ctx->saved_data["kind"] = static_cast<int64_t>(kind);
    return gated_activation(gate, up, kind);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list upstream) {
    const auto saved = ctx->get_saved_variables();
    const auto kind = static_cast<GatedKind>(ctx->saved_data["kind"].toInt());
    auto [grad_gate, grad_up] = call_backward(upstream[0], saved[0], saved[1], kind);
    return {grad_gate, grad_up, at::Tensor()};
  }
};

at::Tensor gated_activation_autograd(const at::Tensor& gate, const at::Tensor& up,
                                     c10::string_view activation) {
  return GatedActivation::apply(gate, up, check_gated("gated_activation", gate, up, activation));
}

}  // namespace

TORCH_LIBRARY_IMPL(setun, Autograd, m) { m.impl("gated_activation", gated_activation_autograd); }

}  // namespace setun::ops
