// ternary_absmean, act_int8_absmax, rmsnorm, layernorm_plain, bitlinear: through the spec, the
// estimators and the module that training uses.
#include <ATen/ATen.h>

#include "golden/golden.h"
#include "nn/bit_linear.h"
#include "ops/ops.h"
#include "quant/fake_quantize.h"
#include "quant/quantizers/sparsity.h"
#include "quant/rotation.h"

namespace setun::golden {
namespace {

Json ternary_absmean(const Arguments& arguments) {
  const at::Tensor w = arguments.tensor("w");
  LinearSpec spec;
  spec.weight = {
      .scheme = WeightScheme::kAbsmean,
      .granularity = *parse_enum<Granularity>(arguments.text_or("granularity", "tensor")),
      .group_size = arguments.integer_or("group", 0),
      .eps = arguments.number_or("eps", 1e-5)};
  const QuantizedWeight q = quantize_weight(w, spec, 0);
  return {{"scale", to_json(q.scale.reshape({-1}))},
          {"codes", to_json(q.codes)},
          {"deq", to_json(q.value)},
          {"zero_fraction", to_json(q.codes.eq(0).to(at::kDouble).mean())},
          {"grad_w", to_json(weight_gradient(arguments.tensor("grad"), w, spec))}};
}

Json act_int8_absmax(const Arguments& arguments) {
  const at::Tensor x = arguments.tensor("x").requires_grad_();
  LinearSpec spec;
  spec.activation = {.scheme = ActivationScheme::kAbsmax, .eps = arguments.number_or("eps", 1e-5)};
  const at::Tensor value = quantize_input(x, spec);
  value.backward(arguments.tensor("grad"));
  const ops::Codes q = ops::quantize_absmax(x.detach(), spec.activation.bits, spec.activation.eps);
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

Json layernorm_plain(const Arguments& arguments) {
  const at::Tensor x = arguments.tensor("x").requires_grad_();
  const at::Tensor y = ops::layer_norm(x, arguments.number_or("eps", 1e-5));
  y.backward(arguments.tensor("grad"));
  return {{"y", to_json(y)}, {"grad_x", to_json(x.grad())}};
}

LinearSpec bitlinear_spec(const Arguments& arguments) {
  LinearSpec spec;
  const bool b1 = arguments.text_or("weight", "absmean") != "absmean";
  spec.weight.scheme = b1 ? WeightScheme::kBinary : WeightScheme::kAbsmean;
  spec.activation.scheme = ActivationScheme::kAbsmax;
  if (arguments.text_or("act", "int8") != "int8") {
    spec.activation.scheme = ActivationScheme::kAbsmean;
    spec.activation.bits = 4;
  }
  if (arguments.has("sparsity")) {
    spec.sparsity = {.kind = SparsityKind::kTopk, .keep = arguments.number("sparsity")};
  }
  if (arguments.has("use_hadamard")) {
    spec.rotation.kind = RotationKind::kHadamard;
  }
  return spec;
}

Json bitlinear(const Arguments& arguments) {
  const at::Tensor x = arguments.tensor("x").requires_grad_(), w = arguments.tensor("w");
  const bool norm = arguments.has("gain");
  const LinearSpec spec = bitlinear_spec(arguments);
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
  const at::Tensor dense = rotate(input, spec.rotation);
  at::Tensor act_codes = input_codes(dense, spec.activation).codes;
  if (spec.sparsity.kind != SparsityKind::kNone) {
    act_codes = act_codes.mul(sparsity_mask(dense, spec.sparsity).keep);
  }
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
  adapters["layernorm_plain"] = layernorm_plain;
  adapters["bitlinear"] = bitlinear;
}

}  // namespace setun::golden
