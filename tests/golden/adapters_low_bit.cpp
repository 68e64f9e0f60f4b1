// act_b1, dorefa_act, dorefa_grad, lsq_plus, pact, lbt_grad, int8_row_stochastic, int8_blockwise,
// act_fp4_bias_form, quest_fp4, torchao_bitnet, int8_mixed_linear, bi_attention: quantizers and
// estimators beside the BitNet ones.
#include <ATen/ATen.h>

#include <cmath>

#include "golden/golden.h"
#include "ops/ops.h"
#include "quant/estimators/clipped_activations.h"
#include "quant/estimators/int8_linear.h"
#include "quant/quantizers/b1_activation.h"
#include "quant/quantizers/binary.h"
#include "quant/quantizers/clipped_activations.h"
#include "quant/quantizers/fp4.h"
#include "quant/quantizers/int8.h"
#include "quant/quantizers/quantized_gradients.h"

namespace setun::golden {
namespace {

// A learned number.
at::Tensor parameter(const Arguments& arguments, const std::string& name) {
  return arguments.tensor(name).requires_grad_();
}

Json act_b1(const Arguments& arguments) {
  const auto bits =
      static_cast<int64_t>(std::lround(std::log2(arguments.number_or("qb", 128)))) + 1;
  const B1Activation q =
      quantize_b1(arguments.tensor("x"), bits, arguments.number_or("clip_eps", 1e-5),
                  arguments.has("shifted"), /*whole_tensor=*/true);
  return {{"out", to_json(q.levels)}};
}

Json dorefa_act(const Arguments& arguments) {
  const at::Tensor x = parameter(arguments, "x");
  const at::Tensor out = dorefa_activation_ste(x, arguments.integer("bits"));
  out.backward(arguments.tensor("grad"));
  return {{"out", to_json(out)}, {"grad_x", to_json(x.grad())}};
}

Json pact(const Arguments& arguments) {
  const at::Tensor x = parameter(arguments, "x"), alpha = parameter(arguments, "alpha");
  const at::Tensor out = pact_activation_ste(x, alpha, arguments.integer("bits"));
  out.backward(arguments.tensor("grad"));
  return {
      {"out", to_json(out)}, {"grad_x", to_json(x.grad())}, {"grad_alpha", to_json(alpha.grad())}};
}

Json lsq_plus(const Arguments& arguments) {
  const at::Tensor x = parameter(arguments, "x"), s = parameter(arguments, "s"),
                   beta = parameter(arguments, "beta");
  const int64_t low = arguments.integer("qn"), high = arguments.integer("qp");
  const at::Tensor out =
      lsq_plus_activation_ste(x, s, beta, low, high, arguments.integer_or("numel", 0));
  out.backward(arguments.tensor("grad"));
  return {{"u", to_json(lsq_plus_activation(x, s, beta, low, high).u)},
          {"out", to_json(out)},
          {"grad_x", to_json(x.grad())},
          {"grad_s", to_json(s.grad())},
          {"grad_beta", to_json(beta.grad())}};
}

Json dorefa_grad(const Arguments& arguments) {
  return {{"out", to_json(dorefa_gradient(arguments.tensor("g"), arguments.tensor("u"),
                                          arguments.integer("bits")))}};
}

Json lbt_grad(const Arguments& arguments) {
  const LbtGradient q = lbt_gradient(arguments.tensor("g"), arguments.tensor("u"),
                                     arguments.number("kappa"), arguments.integer("bits"));
  return {{"codes", to_json(q.codes)},
          {"out", to_json(q.value)},
          {"kappa_next", to_json(q.kappa_next)}};
}

Json scaled_codes(const ScaledCodes& q) {
  return {{"codes", to_json(q.codes)}, {"scale", to_json(q.scale)}, {"deq", to_json(q.value)}};
}

Json int8_row(const Arguments& arguments) {
  ScaledCodes q = int8_row_stochastic(arguments.tensor("w"), arguments.tensor("u"));
  q.scale = q.scale.squeeze(1);
  return scaled_codes(q);
}

Json act_fp4_bias_form(const Arguments& arguments) {
  const FloatBias q = fp4_bias_form(arguments.tensor("x"), arguments.integer_or("e_bits", 2),
                                    arguments.integer_or("m_bits", 1));
  return {{"bias", to_json(q.bias.squeeze(-1))}, {"out", to_json(q.value)}};
}

Json quest(const Arguments& arguments) {
  const QuestFp4 q =
      quest_fp4(arguments.tensor("x"), arguments.number_or("scale_constant", 0.4870795));
  return {{"scale", to_json(q.scale.squeeze(-1))}, {"out", to_json(q.value)}};
}

Json torchao_bitnet(const Arguments& arguments) {
  const at::Tensor x = parameter(arguments, "x"), w = parameter(arguments, "w");
  const double eps = arguments.number_or("eps", 1e-5);
  const at::Tensor y = torchao_bitnet_linear(x, w, eps);
  y.backward(arguments.tensor("grad_y"));
  const ops::Codes xq = ops::quantize_kv(x.detach(), 8, eps);
  const ops::Codes wq = ops::quantize_absmean(w.detach(), 0, eps);
  return {{"x_scale", to_json(xq.scale.squeeze(-1))},
          {"x_int", to_json(xq.codes)},
          {"w_scale", to_json(wq.scale.reshape({}))},
          {"w_int", to_json(wq.codes)},
          {"y", to_json(y)},
          {"grad_x", to_json(x.grad())},
          {"grad_w", to_json(w.grad())}};
}

Json int8_mixed(const Arguments& arguments) {
  const at::Tensor x = parameter(arguments, "x"), w = parameter(arguments, "w");
  const bool quantize =
      !arguments.has("quantize_grad_weight") || arguments.json("quantize_grad_weight").get<bool>();
  const at::Tensor y = int8_mixed_linear(x, w, quantize);
  y.backward(arguments.tensor("grad_y"));
  return {{"y", to_json(y)}, {"grad_x", to_json(x.grad())}, {"grad_w", to_json(w.grad())}};
}

Json attention(const Arguments& arguments) {
  const BiAttention a = bi_attention(arguments.tensor("q"), arguments.tensor("k"));
  return {{"scores", to_json(a.scores)}, {"probs", to_json(a.probs)}};
}

}  // namespace

void add_low_bit_adapters(Adapters& adapters) {
  adapters["act_b1"] = act_b1;
  adapters["dorefa_act"] = dorefa_act;
  adapters["pact"] = pact;
  adapters["lsq_plus"] = lsq_plus;
  adapters["dorefa_grad"] = dorefa_grad;
  adapters["lbt_grad"] = lbt_grad;
  adapters["int8_row_stochastic"] = int8_row;
  adapters["int8_blockwise"] = [](const Arguments& arguments) {
    return scaled_codes(int8_blockwise(arguments.tensor("x"), arguments.integer("block")));
  };
  adapters["act_fp4_bias_form"] = act_fp4_bias_form;
  adapters["quest_fp4"] = quest;
  adapters["torchao_bitnet"] = torchao_bitnet;
  adapters["int8_mixed_linear"] = int8_mixed;
  adapters["bi_attention"] = attention;
}

}  // namespace setun::golden
