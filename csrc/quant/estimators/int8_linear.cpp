#include "quant/estimators/int8_linear.h"

#include <torch/csrc/autograd/custom_function.h>

#include "ops/ops.h"
#include "quant/quantizers/int8.h"

namespace setun {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct TorchaoBitnet : torch::autograd::Function<TorchaoBitnet> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& w,
                            double eps) {
    const ops::Codes xq = ops::quantize_kv(x, 8, eps), wq = ops::quantize_absmean(w, 0, eps);
    ctx->save_for_backward({xq.codes, xq.scale, wq.codes, wq.scale, x, w});
    return code_product(xq.codes, wq.codes.t()).mul(xq.scale).mul(wq.scale).to(at::kFloat);
  }
  static variable_list backward(AutogradContext* ctx, variable_list upstream) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor grad = upstream[0].to(at::kFloat);
    const at::Tensor x_value = saved[0].to(at::kFloat).mul(saved[1]);
    return {grad.matmul(saved[2].to(at::kFloat)).mul(saved[3]).to(saved[4].scalar_type()),
            grad.t().matmul(x_value).to(saved[5].scalar_type()), at::Tensor()};
  }
};

struct Int8Mixed : torch::autograd::Function<Int8Mixed> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& w,
                            bool quantize_grad_weight) {
    ctx->save_for_backward({x, w});
    ctx->saved_data["quantize"] = quantize_grad_weight;
    return int8_product(x, w.t());
  }
  static variable_list backward(AutogradContext* ctx, variable_list upstream) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &w = saved[1], grad = upstream[0].to(at::kFloat);
    const at::Tensor grad_w = ctx->saved_data["quantize"].toBool()
                                  ? int8_product(grad.t(), x)
                                  : grad.t().matmul(x.to(at::kFloat));
    return {int8_product(grad, w).to(x.scalar_type()), grad_w.to(w.scalar_type()), at::Tensor()};
  }
};

}  // namespace

at::Tensor torchao_bitnet_linear(const at::Tensor& x_MK, const at::Tensor& w_NK, double eps) {
  return TorchaoBitnet::apply(x_MK, w_NK, eps);
}

at::Tensor int8_mixed_linear(const at::Tensor& x_MK, const at::Tensor& w_NK,
                             bool quantize_grad_weight) {
  return Int8Mixed::apply(x_MK, w_NK, quantize_grad_weight);
}

}  // namespace setun
