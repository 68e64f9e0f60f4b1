// The derivative of layer_norm in x, by hand (formula in ops/cpu/norm_impl.h). No second
// derivative.
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <tuple>

#include "ops/dispatch.h"

namespace setun::ops {
namespace {

std::tuple<at::Tensor, at::Tensor> call_forward(const at::Tensor& x, double eps) {
  static const auto op =
      find_operator<std::tuple<at::Tensor, at::Tensor>(const at::Tensor&, double)>(
          "setun::layer_norm_forward");
  return op.call(x, eps);
}

at::Tensor call_backward(const at::Tensor& grad, const at::Tensor& y, const at::Tensor& factor,
                         at::ScalarType type) {
  static const auto op =
      find_operator<at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                               at::ScalarType)>("setun::layer_norm_backward");
  return op.call(grad, y, factor, type);
}

struct LayerNormFunction : torch::autograd::Function<LayerNormFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& x,
                            double eps) {
    const at::AutoDispatchBelowADInplaceOrView below;
    auto [y, factor] = call_forward(x, eps);
    ctx->save_for_backward({y, factor});
    ctx->saved_data["type"] = static_cast<int64_t>(x.scalar_type());
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list upstream) {
    const auto saved = ctx->get_saved_variables();
    const auto type = static_cast<at::ScalarType>(ctx->saved_data["type"].toInt());
    return {call_backward(upstream[0], saved[0], saved[1], type), at::Tensor()};
  }
};

at::Tensor layer_norm_autograd(const at::Tensor& x, double eps) {
  return LayerNormFunction::apply(x, eps);
}

at::Tensor layer_norm_plain(const at::Tensor& x, double eps) {
  return std::get<0>(call_forward(x, eps));
}

}  // namespace

TORCH_LIBRARY_IMPL(setun, Autograd, m) { m.impl("layer_norm", layer_norm_autograd); }
TORCH_LIBRARY_IMPL(setun, CompositeExplicitAutograd, m) { m.impl("layer_norm", layer_norm_plain); }

}  // namespace setun::ops
