#include "model/recompute.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/custom_class.h>

#include "base/error.h"

namespace setun {
namespace {

using Forward = std::function<std::vector<at::Tensor>(const at::Tensor&)>;

struct ForwardHolder : torch::CustomClassHolder {
  explicit ForwardHolder(Forward forward_in) : forward(std::move(forward_in)) {}
  Forward forward;
};

struct Recompute : torch::autograd::Function<Recompute> {
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* ctx,
                                                const at::Tensor& x, Forward forward) {
    ctx->save_for_backward({x});
    ctx->set_materialize_grads(false);
    std::vector<at::Tensor> y = forward(x);  // grad mode is off here: nothing inside is kept
    ctx->saved_data["forward"] =
        c10::IValue::make_capsule(c10::make_intrusive<ForwardHolder>(std::move(forward)));
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list upstream) {
    const auto holder =
        c10::static_intrusive_pointer_cast<ForwardHolder>(ctx->saved_data["forward"].toCapsule());
    const c10::AutoGradMode enable(true);
    const at::Tensor x = ctx->get_saved_variables()[0].detach().requires_grad_();
    const std::vector<at::Tensor> y = holder->forward(x);
    torch::autograd::variable_list roots, gradients;
    for (size_t i = 0; i < y.size(); ++i) {
      if (upstream[i].defined() && y[i].requires_grad()) {  // not counts, nor results nobody used
        roots.push_back(y[i]);
        gradients.push_back(upstream[i]);
      }
    }
    torch::autograd::backward(roots, gradients);
    return {x.grad(), at::Tensor()};
  }
};

}  // namespace

std::vector<at::Tensor> recompute_in_backward(const at::Tensor& x, Forward forward) {
  SETUN_ASSERT(x.requires_grad(), "without it the leaves inside would silently get no gradient");
  return Recompute::apply(x, std::move(forward));
}

}  // namespace setun
