// The derivative of rms_norm in x and gain, by hand (formula in ops/cpu/norm_impl.h). No second
// derivative.
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <tuple>

#include "ops/dispatch.h"
#include "ops/ops.h"

namespace setun::ops {
namespace {

using OptionalTensor = std::optional<at::Tensor>;

std::tuple<at::Tensor, at::Tensor> call_forward(const at::Tensor& x, const OptionalTensor& gain,
                                                double eps) {
  static const auto op = find_operator<std::tuple<at::Tensor, at::Tensor>(
      const at::Tensor&, const OptionalTensor&, double)>("setun::rms_norm_forward");
  return op.call(x, gain, eps);
}

struct RmsNormFunction : torch::autograd::Function<RmsNormFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& x,
                            const OptionalTensor& gain, double eps) {
    const at::AutoDispatchBelowADInplaceOrView below;
    auto [y, factor] = call_forward(x, gain, eps);
    ctx->save_for_backward({x, gain.value_or(at::Tensor()), factor});
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list upstream) {
    const auto saved = ctx->get_saved_variables();
    const RmsNormGradient grad = rms_norm_backward(upstream[0], saved[0], saved[1], saved[2]);
    return {grad.x, saved[1].defined() ? grad.gain : at::Tensor(), at::Tensor()};
  }
};

at::Tensor rms_norm_autograd(const at::Tensor& x, const OptionalTensor& gain, double eps) {
  return RmsNormFunction::apply(x, gain, eps);
}

at::Tensor rms_norm_plain(const at::Tensor& x, const OptionalTensor& gain, double eps) {
  return std::get<0>(call_forward(x, gain, eps));
}

}  // namespace

TORCH_LIBRARY_IMPL(setun, Autograd, m) { m.impl("rms_norm", rms_norm_autograd); }
TORCH_LIBRARY_IMPL(setun, CompositeExplicitAutograd, m) { m.impl("rms_norm", rms_norm_plain); }

}  // namespace setun::ops
