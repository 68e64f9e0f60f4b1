// ternary_absmean, act_int8_absmax, rmsnorm, bitlinear: through the spec, the estimators and the
// module that training uses.
#include <ATen/ATen.h>

#include "golden/golden.h"
#include "nn/bit_linear.h"
#include "ops/ops.h"
#include "quant/fake_quantize.h"

namespace setun::golden {
namespace {

Json ternary_absmean(const Arguments& arguments) {
  const at::Tensor w = arguments.tensor("w");
  const WeightQuantSpec spec{
      .scheme = WeightScheme::kAbsmean,
      .granularity = *parse_enum<Granularity>(arguments.text_or("granularity", "tensor")),
      .group_size = arguments.integer_or("group", 0),
      .eps = arguments.number_or("eps", 1e-5)};
  const QuantizedWeight q = quantize_weight(w, spec);
  return {{"scale", to_json(q.scale.reshape({-1}))},
          {"codes", to_json(q.codes)},
          {"deq", to_json(q.value)},
          {"zero_fraction", to_json(q.codes.eq(0).to(at::kDouble).mean())},
          {"grad_w", to_json(weight_gradient(arguments.tensor("grad"), w, spec))}};
}

Json act_int8_absmax(const Arguments& arguments) {
  const at::Tensor x = arguments.tensor("x").requires_grad_();
  const ActivationQuantSpec spec{.scheme = ActivationScheme::kAbsmax,
                                 .eps = arguments.number_or("eps", 1e-5)};
  const at::Tensor value = fake_quantize_activation(x, spec);
  value.backward(arguments.tensor("grad"));
  const ops::Codes q = ops::quantize_absmax(x.detach(), spec.bits, spec.eps);
  return {{"scale", to_json(q.scale.squeeze(-1))},
          {"codes", to_json(q.codes)},
          {"deq", to_json(value)},
          {"grad_x", to_json(x.grad())}};
}

Json rmsnorm(const Arguments& arguments) {
  const at::Tensor x = arguments.tensor("x").requires_grad_();
  const at::Tensor gain = arguments.tensor("gain").requires_grad_();
  const at::Tensor y = ops::rms_norm(x, gain, arguments.number_or("eps", 1e-5));
  y.backward(arguments.tensor("grad"));
  return {{"y", to_json(y)}, {"grad_x", to_json(x.grad())}, {"grad_gain", to_json(gain.grad())}};
}

void check_built(const Arguments& arguments) {
  if (arguments.text_or("act", "int8") != "int8") {
    throw NotBuilt("4-bit absmean activations are not built yet");
  }
  if (arguments.text_or("weight", "absmean") != "absmean") {
    throw NotBuilt("b1 weights are not built yet");
  }
  if (arguments.has("sparsity")) {
    throw NotBuilt("sparse activations are not built yet");
  }
  if (arguments.has("use_hadamard")) {
    throw NotBuilt("rotations are not built yet");
  }
}

Json bitlinear(const Arguments& arguments) {
  check_built(arguments);
  const at::Tensor x = arguments.tensor("x").requires_grad_(), w = arguments.tensor("w");
  const bool norm = arguments.has("gain");
  LinearSpec spec;
  spec.weight.scheme = WeightScheme::kAbsmean;
  spec.activation.scheme = ActivationScheme::kAbsmax;
  QuantContext context(
      {.layers = {{"layer", Role::kQkv, 0, w.size(0), w.size(1)}}, .phases = {{.specs = {spec}}}});
  context.begin_step({});
  BitLinear linear(BitLinearOptions{.in_features = w.size(1),
                                    .out_features = w.size(0),
                                    .own_norm = norm,
                                    .norm_eps = arguments.number_or("rms_eps", 1e-5)});
  {
    const c10::NoGradGuard no_grad;
    linear->weight.copy_(w);
    if (norm) {
      linear->norm->weight.copy_(arguments.tensor("gain"));
    }
  }
  const at::Tensor y = linear->forward(x, context);
  y.backward(arguments.tensor("grad_y"));
  context.backward_to_latents();

  const at::Tensor input = (norm ? linear->norm->forward(x) : x).detach();
  const at::Tensor act_codes = ops::quantize_absmax(input, 8, 1e-5).codes;
  const QuantizedWeight& q = context.quantized(0, linear->weight);
  Json out = {{"act_codes", to_json(act_codes)},
              {"weight_codes", to_json(q.codes)},
              {"weight_scale", to_json(q.scale.reshape({-1}))},
              {"acc", to_json(act_codes.to(at::kInt).matmul(q.codes.to(at::kInt).t()))},
              {"y", to_json(y)},
              {"grad_w", to_json(linear->weight.grad())},
              {"grad_x", to_json(x.grad())}};
  if (norm) {
    out["grad_gain"] = to_json(linear->norm->weight.grad());
  }
  return out;
}

}  // namespace

void add_quantizer_adapters(Adapters& adapters) {
  adapters["ternary_absmean"] = ternary_absmean;
  adapters["act_int8_absmax"] = act_int8_absmax;
  adapters["rmsnorm"] = rmsnorm;
  adapters["bitlinear"] = bitlinear;
}

}  // namespace setun::golden
