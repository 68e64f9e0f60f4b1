#include "quant/estimators/clipped_activations.h"

#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

#include "quant/quantizers/clipped_activations.h"
#include "quant/quantizers/wide.h"

namespace setun {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The sum of terms as a gradient of the one number `like`; added in double, because terms cancel.
at::Tensor total(const at::Tensor& terms, const at::Tensor& like) {
  return terms.sum(at::kDouble).to(like.scalar_type()).reshape(like.sizes());
}

struct Dorefa : torch::autograd::Function<Dorefa> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, int64_t bits) {
    ctx->save_for_backward({x.ge(0).logical_and_(x.le(1))});
    return dorefa_activation(x, bits);
  }
  static variable_list backward(AutogradContext* ctx, variable_list upstream) {
    return {upstream[0].masked_fill(ctx->get_saved_variables()[0].logical_not(), 0), at::Tensor()};
  }
};

struct Pact : torch::autograd::Function<Pact> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& alpha,
                            int64_t bits) {
    const at::Tensor above = wide(x).ge(wide(alpha));
    ctx->save_for_backward({x.ge(0).logical_and_(wide(x).lt(wide(alpha))), above, alpha});
    return pact_activation(x, alpha, bits);
  }
  static variable_list backward(AutogradContext* ctx, variable_list upstream) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor& grad = upstream[0];
    return {grad.masked_fill(saved[0].logical_not(), 0),
            total(grad.masked_fill(saved[1].logical_not(), 0), saved[2]), at::Tensor()};
  }
};

struct LsqPlusSte : torch::autograd::Function<LsqPlusSte> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& s,
                            const at::Tensor& beta, int64_t low, int64_t high, int64_t features) {
    const LsqPlus q = lsq_plus_activation(x, s, beta, low, high);
    ctx->save_for_backward({q.u, s, beta});
    ctx->saved_data["low"] = low;
    ctx->saved_data["high"] = high;
    ctx->saved_data["features"] = features == 0 ? x.numel() : features;
    return q.value;
  }
  static variable_list backward(AutogradContext* ctx, variable_list upstream) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &u = saved[0], grad = wide(upstream[0]);
    const int64_t low = ctx->saved_data["low"].toInt(), high = ctx->saved_data["high"].toInt();
    const auto features = static_cast<double>(ctx->saved_data["features"].toInt());
    const double g = 1 / std::sqrt(features * static_cast<double>(high));
    const at::Tensor below = u.lt(low), above = u.gt(high);
    const at::Tensor inside = u.ge(low).logical_and_(u.le(high));
    at::Tensor slope = u.round().sub_(u);
    slope.masked_fill_(below, low).masked_fill_(above, high).masked_fill_(u.isnan(), 0);
    const at::Tensor outside = grad.masked_fill(below.logical_or(above).logical_not_(), 0);
    return {grad.masked_fill(inside.logical_not(), 0).to(upstream[0].scalar_type()),
            total(grad.mul(slope).mul_(g), saved[1]),
            total(outside.mul(g), saved[2]),
            at::Tensor(),
            at::Tensor(),
            at::Tensor()};
  }
};

}  // namespace

at::Tensor dorefa_activation_ste(const at::Tensor& x, int64_t bits) {
  return Dorefa::apply(x, bits);
}

at::Tensor pact_activation_ste(const at::Tensor& x, const at::Tensor& alpha, int64_t bits) {
  return Pact::apply(x, alpha, bits);
}

at::Tensor lsq_plus_activation_ste(const at::Tensor& x, const at::Tensor& s, const at::Tensor& beta,
                                   int64_t low, int64_t high, int64_t features) {
  return LsqPlusSte::apply(x, s, beta, low, high, features);
}

}  // namespace setun
