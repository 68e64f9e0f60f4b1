#include "nn/bit_linear.h"

#include <ATen/ops/zeros.h>

#include "base/error.h"
#include "ops/dispatch.h"
#include "quant/plain_linear.h"

namespace setun {

BitLinearImpl::BitLinearImpl(BitLinearOptions options_in) : options(options_in) {
  weight = register_parameter("weight", at::zeros({options.out_features, options.in_features}));
  if (options.bias) {
    bias = register_parameter("bias", at::zeros({options.out_features}));
  }
  if (options.own_norm) {
    norm = register_module(
        "norm", Norm(options.norm_kind, options.in_features, options.norm_eps, options.norm_gain));
  }
}

at::Tensor BitLinearImpl::forward(const LinearInput& input_BTI, QuantContext& context) {
  const ops::OwnTypes own_types;
  SETUN_ASSERT(input_BTI.x.size(-1) == options.in_features, "layer ", options.layer, ": input ",
               input_BTI.x.sizes(), " for a weight ", weight.sizes());
  LinearInput input = norm ? behind(norm, input_BTI.normed()) : input_BTI;
  if (!input_BTI.norm) {
    input.source = input_BTI.source;
  }
  const at::Tensor y_BTO = product(input, context);
  context.product_done(options.layer, input.x, y_BTO);
  return y_BTO;
}

// Quantizers compute in fp32 whatever the product's dtype is, so bf16 compute gives the same codes.
at::Tensor BitLinearImpl::product(const LinearInput& input, QuantContext& context) {
  if (context.integer(options.layer)) {
    const at::Tensor y_BTO =
        integer_linear(context.integer_operands(options.layer, input, weight, options.compute));
    return bias.defined() ? y_BTO + bias.to(options.compute) : y_BTO;
  }
  const at::Tensor x = context.activation(options.layer, input);
  const at::Tensor value = context.weight(options.layer, weight);
  return plain_linear(x, context.cast(value, options.compute), bias);
}

std::vector<NamedLinear> named_linears(const torch::nn::Module& model) {
  std::vector<NamedLinear> linears;
  for (const auto& item : model.named_modules("", /*include_self=*/false)) {
    if (auto linear = std::dynamic_pointer_cast<BitLinearImpl>(item.value())) {
      linears.push_back({item.key(), BitLinear(std::move(linear))});
    }
  }
  return linears;
}

}  // namespace setun
