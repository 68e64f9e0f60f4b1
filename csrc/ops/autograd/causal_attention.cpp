// The derivative of causal_attention in q, k and v (formulas in ops/cpu/attention_backward_impl.h):
// keeps the arguments, the result and each row's log-sum-exp, never the probabilities. No second
// derivative.
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <tuple>

#include "ops/dispatch.h"
#include "ops/step_ops.h"

namespace setun::ops {
namespace {

using OptionalTensor = std::optional<at::Tensor>;

std::tuple<at::Tensor, at::Tensor> call_forward(const at::Tensor& q, const at::Tensor& k,
                                                const at::Tensor& v, const OptionalTensor& first) {
  static const auto op = find_operator<std::tuple<at::Tensor, at::Tensor>(
      const at::Tensor&, const at::Tensor&, const at::Tensor&, const OptionalTensor&)>(
      "setun::causal_attention_forward");
  return op.call(q, k, v, first);
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> call_backward(
    const at::Tensor& grad, const torch::autograd::variable_list& saved) {
  static const auto op = find_operator<std::tuple<at::Tensor, at::Tensor, at::Tensor>(
      const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
      const at::Tensor&, const OptionalTensor&)>("setun::causal_attention_backward");
  return op.call(grad, saved[4], saved[5], saved[0], saved[1], saved[2], present(saved[3]));
}

struct CausalAttentionFunction : torch::autograd::Function<CausalAttentionFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& q,
                            const at::Tensor& k, const at::Tensor& v, const OptionalTensor& first) {
    const at::AutoDispatchBelowADInplaceOrView below;
    auto [out, lse] = call_forward(q, k, v, first);
    ctx->save_for_backward({q, k, v, first.value_or(at::Tensor()), out, lse});
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list upstream) {
    const at::AutoDispatchBelowADInplaceOrView below;
    const auto [dq, dk, dv] = call_backward(upstream[0], ctx->get_saved_variables());
    return {dq, dk, dv, at::Tensor()};
  }
};

at::Tensor causal_attention_autograd(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                     const OptionalTensor& first) {
  return CausalAttentionFunction::apply(q, k, v, first);
}

}  // namespace

TORCH_LIBRARY_IMPL(setun, Autograd, m) { m.impl("causal_attention", causal_attention_autograd); }

}  // namespace setun::ops
