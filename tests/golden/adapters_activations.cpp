// act_int4_absmean, act_int4_absmax, act_fp4_e2m1, e2m1_round, kv_symmetric, kv_asymmetric,
// kv_symmetric_bos, topk_sparsify, nm_sparsify, hadamard, h_bitlinear_front: operators of one scale
// or one mask a vector, with the straight-through gradient.
#include <ATen/ATen.h>

#include "golden/golden.h"
#include "ops/ops.h"
#include "quant/estimators/ste.h"
#include "quant/fake_quantize.h"
#include "quant/quantizers/sparsity.h"

namespace setun::golden {
namespace {

using Fake = std::function<at::Tensor(const at::Tensor&)>;

// {"deq": fake(x), grad: dL/dx} by the straight-through estimator.
Json straight(const Arguments& arguments, const std::string& name, const Fake& fake) {
  const at::Tensor x = arguments.tensor(name).requires_grad_();
  const at::Tensor value = straight_through(x, fake);
  value.backward(arguments.tensor("grad"));
  return {{"deq", to_json(value)}, {"grad_" + name, to_json(x.grad())}};
}

Json act_int4_absmean(const Arguments& arguments) {
  const double multiplier = arguments.number_or("multiplier", 1),
               eps = arguments.number_or("eps", 1e-5);
  Json out = straight(arguments, "x", [&](const at::Tensor& x) {
    return ops::fake_quantize_act_absmean(x, 4, multiplier, eps);
  });
  const ops::Codes q = ops::quantize_act_absmean(arguments.tensor("x"), 4, multiplier, eps);
  out["beta"] = to_json(q.scale.squeeze(-1).mul(std::sqrt(7.0)));
  out["codes"] = to_json(q.codes);
  return out;
}

Json act_int4_absmax(const Arguments& arguments) {
  const double eps = arguments.number_or("eps", 1e-5);
  Json out = straight(arguments, "x",
                      [&](const at::Tensor& x) { return ops::fake_quantize_absmax(x, 4, eps); });
  const ops::Codes q = ops::quantize_absmax(arguments.tensor("x"), 4, eps);
  out["scale"] = to_json(q.scale.squeeze(-1));
  out["codes"] = to_json(q.codes);
  return out;
}

Json act_fp4_e2m1(const Arguments& arguments) {
  Json out = straight(arguments, "x", ops::fake_quantize_fp4);
  const ops::Codes q = ops::quantize_fp4(arguments.tensor("x"));
  out["scale"] = to_json(q.scale.squeeze(-1).mul(12));  // max|x|
  out["levels"] = to_json(q.codes.div(2));
  return out;
}

Json kv_symmetric(const Arguments& arguments) {
  const int64_t bits = arguments.integer("bits");
  const double eps = arguments.number_or("eps", 1e-5);
  Json out = straight(arguments, "h",
                      [&](const at::Tensor& h) { return ops::fake_quantize_kv(h, bits, eps); });
  const ops::Codes q = ops::quantize_kv(arguments.tensor("h"), bits, eps);
  out["scale"] = to_json(q.scale.squeeze(-1));
  out["codes"] = to_json(q.codes);
  out["stored"] = to_json(q.codes.to(at::kInt).add(1 << (bits - 1)));
  return out;
}

Json kv_asymmetric(const Arguments& arguments) {
  const int64_t bits = arguments.integer("bits");
  const double eps = arguments.number_or("eps", 1e-5);
  Json out = straight(arguments, "h", [&](const at::Tensor& h) {
    return ops::fake_quantize_kv_asymmetric(h, bits, eps);
  });
  const ops::OffsetCodes q = ops::quantize_kv_asymmetric(arguments.tensor("h"), bits, eps);
  out["scale"] = to_json(q.scale.squeeze(-1));
  out["minimum"] = to_json(q.minimum.squeeze(-1));
  out["codes"] = to_json(q.codes);
  return out;
}

// The first token at bos_bits, the others at bits.
Json kv_symmetric_bos(const Arguments& arguments) {
  const at::Tensor h = arguments.tensor("h");
  const at::Tensor parts[] = {h.narrow(0, 0, 1), h.narrow(0, 1, h.size(0) - 1)};
  const int64_t bits[] = {arguments.integer("bos_bits"), arguments.integer("bits")};
  std::vector<at::Tensor> scale, codes, value;
  for (const int part : {0, 1}) {
    const ops::Codes q = ops::quantize_kv(parts[part], bits[part], 1e-5);
    scale.push_back(q.scale.squeeze(-1));
    codes.push_back(q.codes);
    value.push_back(ops::fake_quantize_kv(parts[part], bits[part], 1e-5));
  }
  return {{"scale", to_json(at::cat(scale))},
          {"codes", to_json(at::cat(codes))},
          {"deq", to_json(at::cat(value))}};
}

// Mask, output and gradient of a spec, through what training calls.
Json sparse(const Arguments& arguments, const LinearSpec& spec) {
  const at::Tensor x = arguments.tensor("x").requires_grad_(), dense = x.detach();
  const at::Tensor y = quantize_input(x, spec);
  y.backward(arguments.tensor("grad"));
  const SparsityMask mask = sparsity_mask(dense, spec.sparsity);
  Json out = {{"mask", to_json(mask.keep)}, {"out", to_json(y)}, {"grad_x", to_json(x.grad())}};
  if (mask.factor.defined()) {
    out["factor"] = to_json(mask.factor.squeeze(-1));
  }
  if (spec.activation.scheme != ActivationScheme::kNone) {
    const ops::Codes q = ops::quantize_absmax(dense, spec.activation.bits, spec.activation.eps);
    out["scale"] = to_json(q.scale.squeeze(-1));
    out["codes"] = to_json(q.codes.mul(mask.keep));
  }
  return out;
}

Json topk_sparsify(const Arguments& arguments) {
  LinearSpec spec;
  spec.sparsity = {.kind = SparsityKind::kTopk,
                   .keep = arguments.number("fraction"),
                   .rescale = arguments.has("l2_rescale") ? Rescale::kL2 : Rescale::kNone};
  if (arguments.has("int8")) {
    spec.activation = {.scheme = ActivationScheme::kAbsmax,
                       .eps = arguments.number_or("eps", 1e-5)};
  }
  return sparse(arguments, spec);
}

Json nm_sparsify(const Arguments& arguments) {
  LinearSpec spec;
  spec.sparsity = {
      .kind = SparsityKind::kNm, .n = arguments.integer("n"), .m = arguments.integer("m")};
  return sparse(arguments, spec);
}

// The largest power of two that divides the last dimension.
int64_t full_block(const at::Tensor& x) { return x.size(-1) & -x.size(-1); }

Json hadamard(const Arguments& arguments) {
  const at::Tensor x = arguments.tensor("x").requires_grad_();
  const int64_t block = arguments.integer_or("block", full_block(x));
  const at::Tensor y = ops::hadamard(x, block);
  y.backward(arguments.tensor("grad"));
  return {{"y", to_json(y)},
          {"grad_x", to_json(x.grad())},
          {"twice", to_json(ops::hadamard(y.detach(), block))}};
}

Json h_bitlinear_front(const Arguments& arguments) {
  const at::Tensor normed = ops::rms_norm(arguments.tensor("x"), arguments.tensor("gain"),
                                          arguments.number_or("rms_eps", 1e-5));
  Json out = {{"normed", to_json(normed)}};
  const auto quantize = [&](const std::string& prefix, const at::Tensor& x) {
    const ops::Codes q = ops::quantize_act_absmean(x, 4, 1, 1e-5);
    const at::Tensor value = ops::fake_quantize_act_absmean(x, 4, 1, 1e-5);
    out[prefix + "beta"] = to_json(q.scale.squeeze(-1).mul(std::sqrt(7.0)));
    out[prefix + "codes"] = to_json(q.codes);
    out[prefix + "deq"] = to_json(value);
    out[prefix + "mse"] = to_json(value.sub(x).pow(2).mean());
  };
  const at::Tensor rotated = ops::hadamard(normed, full_block(normed));
  out["rotated"] = to_json(rotated);
  quantize("", rotated);
  quantize("plain_", normed);
  return out;
}

}  // namespace

void add_activation_adapters(Adapters& adapters) {
  adapters["act_int4_absmean"] = act_int4_absmean;
  adapters["act_int4_absmax"] = act_int4_absmax;
  adapters["act_fp4_e2m1"] = act_fp4_e2m1;
  adapters["e2m1_round"] = [](const Arguments& arguments) -> Json {
    return {{"out", to_json(ops::round_e2m1(arguments.tensor("z")))}};
  };
  adapters["kv_symmetric"] = kv_symmetric;
  adapters["kv_asymmetric"] = kv_asymmetric;
  adapters["kv_symmetric_bos"] = kv_symmetric_bos;
  adapters["topk_sparsify"] = topk_sparsify;
  adapters["nm_sparsify"] = nm_sparsify;
  adapters["hadamard"] = hadamard;
  adapters["h_bitlinear_front"] = h_bitlinear_front;
}

}  // namespace setun::golden
