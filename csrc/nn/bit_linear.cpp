#include "nn/bit_linear.h"

#include <ATen/ops/linear.h>
#include <ATen/ops/zeros.h>

#include "base/error.h"

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

at::Tensor BitLinearImpl::forward(const at::Tensor& x_BTI, QuantContext& context) {
  SETUN_ASSERT(x_BTI.size(-1) == options.in_features, "layer ", options.layer, ": input ",
               x_BTI.sizes(), " for a weight ", weight.sizes());
  const at::Tensor normed = norm ? norm(x_BTI) : x_BTI;
  // Quantizers compute in fp32 whatever the product's dtype is, so bf16 compute gives the same
  // codes.
  const at::Tensor input = context.activation(options.layer, normed);
  const at::Tensor value = context.weight(options.layer, weight);
  if (bias.defined()) {
    return at::linear(input.to(options.compute), value.to(options.compute),
                      bias.to(options.compute));
  }
  return at::linear(input.to(options.compute), value.to(options.compute));
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
