// nn/mixture_of_experts.h against a mixture that computes every expert on every row: values and
// gradients in full precision (float64 reference) and ternary (composite-detach oracle), finite
// differences, experts without rows.
#include "nn/mixture_of_experts.h"

#include <ATen/ATen.h>

#include "model/tiny_model.h"
#include "ops/ops.h"
#include "support/catch.h"

namespace setun {
namespace {

struct Case {
  int64_t heads, active;
  bool normalize_gates;
  FfnKind kind;
  NormPlacement placement;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const auto& [placement, name] : EnumNames<NormPlacement>::table) {
    all.push_back({1, 1, false, FfnKind::kSwiGlu, placement});
    all.push_back({1, 2, true, FfnKind::kRelu2Glu, placement});
    all.push_back({3, 2, false, FfnKind::kSwiGlu, placement});
    all.push_back({2, 5, true, FfnKind::kRelu2Glu, placement});
  }
  return all;
}

std::string text_of(const Case& c) {
  return setun::str("heads ", c.heads, " active ", c.active, " normalize ", c.normalize_gates, " ",
                    enum_name(c.kind), " ", enum_name(c.placement));
}

// A mixture of five experts with its context; parameters uniform, router included.
struct Tiny {
  explicit Tiny(const Case& c, const LinearSpec& spec = {}, at::ScalarType compute = at::kFloat)
      : context(test::uniform_plan(model_options(c), spec)) {
    const ModelOptions model = model_options(c);
    const bool own_norm =
        c.placement == NormPlacement::kPerLinear || c.placement == NormPlacement::kPreNormPerLinear;
    mixture = MixtureOfExperts(
        MixtureOptions{.hidden = model.hidden,
                       .expert_ffn = model.resolved_expert_ffn(),
                       .moe = model.moe,
                       .kind = c.kind,
                       .sub_norm = c.placement == NormPlacement::kSubln,
                       .linear = {.layer = 4, .own_norm = own_norm, .compute = compute}});
    const c10::NoGradGuard no_grad;
    auto generator = at::detail::createCPUGenerator(11);
    for (at::Tensor& parameter : mixture->parameters()) {
      parameter.uniform_(parameter.dim() == 1 ? 0.5 : -0.7, parameter.dim() == 1 ? 1.5 : 0.7,
                         generator);
    }
    context.begin_step({});
  }
  static ModelOptions model_options(const Case& c) {
    ModelOptions model{
        .vocab_size = 4, .hidden = 12, .layers = 1, .heads = 1, .ffn = 20, .ffn_kind = c.kind};
    model.moe = {.experts = 5,
                 .active = c.active,
                 .heads = c.heads,
                 .every = 1,
                 .normalize_gates = c.normalize_gates};
    return model;
  }

  MixtureOfExperts mixture{nullptr};
  QuantContext context;
};

// value in the forward pass, identity from x in the backward pass.
at::Tensor straight_through(const at::Tensor& x, const at::Tensor& value) {
  return x + (value - x).detach();
}

// The mixture written out with stock operators: every expert computes every row, and the gates of
// those a row did not choose are zero. Quantized: weights and activations by detach.
struct DenseReference {
  DenseReference(const MixtureOfExperts& mixture, bool quantized_in, at::ScalarType dtype)
      : options(mixture->options), quantized(quantized_in) {
    for (const auto& item : mixture->named_parameters()) {
      parameters[item.key()] = item.value().detach().to(dtype).clone().requires_grad_();
    }
  }

  at::Tensor norm(const std::string& name, const at::Tensor& x) const {
    const auto gain = parameters.find(name + ".weight");
    if (gain == parameters.end()) {
      return x;
    }
    return quantized ? ops::rms_norm(x, gain->second, 1e-5)
                     : x * (x.pow(2).mean(-1, true) + 1e-5).rsqrt() * gain->second;
  }
  at::Tensor linear(const std::string& name, const at::Tensor& x) const {
    const at::Tensor input = norm(name + ".norm", x);
    const at::Tensor& w = parameters.at(name + ".weight");
    if (!quantized || name == "router") {
      return at::linear(input, w);
    }
    const at::Tensor codes =
        ops::dequantize_absmax(ops::quantize_absmax(input.detach().contiguous(), 8, 1e-5));
    const at::Tensor value = ops::dequantize_absmean(ops::quantize_absmean(w.detach(), 0, 1e-5));
    return at::linear(straight_through(input, codes), straight_through(w, value));
  }
  at::Tensor expert(int64_t index, const at::Tensor& x) const {
    const std::string name = setun::str("experts.", index, ".");
    const at::Tensor gate = linear(name + "gate", x), up = linear(name + "up", x);
    const at::Tensor hidden =
        (options.kind == FfnKind::kSwiGlu ? at::silu(gate) : at::relu(gate).pow(2)) * up;
    return linear(name + "down", norm(name + "sub_norm", hidden));
  }
  at::Tensor forward(const at::Tensor& x_BTD, at::Tensor& balance) const {
    const MoeOptions& moe = options.moe;
    const at::Tensor in = moe.heads > 1 ? linear("head", x_BTD) : x_BTD;
    const at::Tensor x = in.reshape({-1, options.hidden / moe.heads});
    const at::Tensor probabilities = at::softmax(linear("router", x), -1);
    const at::Tensor chosen = std::get<1>(probabilities.detach().topk(moe.active, -1));
    const at::Tensor mask = at::zeros_like(probabilities).detach().scatter_(1, chosen, 1);
    at::Tensor gates = probabilities * mask;
    if (moe.normalize_gates) {
      gates = gates / gates.sum(-1, true);
    }
    at::Tensor y = at::zeros_like(x);
    for (int64_t e = 0; e < moe.experts; ++e) {
      y = y + gates.narrow(1, e, 1) * expert(e, x);
    }
    balance = 5 * (mask.sum(0) / mask.sum() * probabilities.mean(0)).sum();
    y = y.view(x_BTD.sizes());
    return moe.heads > 1 ? linear("merge", norm("sub_norm", y)) : y;
  }

  std::map<std::string, at::Tensor> parameters;
  MixtureOptions options;
  bool quantized;
};

at::Tensor input(int64_t rows = 14) {
  return at::randn({2, rows / 2, 12}, at::detail::createCPUGenerator(4), at::kFloat);
}

void compare_with_dense(const Case& c, bool quantized) {
  INFO(text_of(c) << " quantized " << quantized);
  Tiny tiny(c, quantized ? test::ternary_spec() : LinearSpec{});
  const at::ScalarType dtype = quantized ? at::kFloat : at::kDouble;
  const DenseReference reference(tiny.mixture, quantized, dtype);
  const at::Tensor x = input().requires_grad_(), x2 = input().to(dtype).requires_grad_();
  const at::Tensor upstream = at::randn({2, 7, 12}, at::detail::createCPUGenerator(6), at::kFloat);
  const MixtureOutput out = tiny.mixture->forward(x, tiny.context);
  at::Tensor balance;
  const at::Tensor expected = reference.forward(x2, balance);
  CHECK(at::allclose(out.y_BTD.to(dtype), expected, 1e-4, 1e-5));
  CHECK(out.balance.item<double>() == Approx(balance.item<double>()).epsilon(1e-5));
  CHECK(out.counts_E.sum().item<int64_t>() == 14 * c.heads * c.active);
  ((out.y_BTD * upstream).sum() + 3 * out.balance).backward();
  ((expected * upstream.to(dtype)).sum() + 3 * balance).backward();
  tiny.context.backward_to_latents();
  CHECK((x.grad().to(dtype) - x2.grad()).norm().item<double>() <=
        2e-5 * x2.grad().norm().item<double>());
  for (const auto& item : tiny.mixture->named_parameters()) {
    INFO(item.key());
    const at::Tensor want = reference.parameters.at(item.key()).grad();
    REQUIRE(item.value().grad().defined());
    CHECK((item.value().grad().to(dtype) - want).norm().item<double>() <=
          2e-5 * want.norm().item<double>());
  }
}

TEST_CASE("a mixture and its gradients equal every expert computed on every row, in float64") {
  for (const Case& c : cases()) {
    compare_with_dense(c, false);
  }
}

TEST_CASE("a ternary mixture and its gradients equal the composite-detach oracle") {
  for (const Case& c : cases()) {
    compare_with_dense(c, true);
  }
}

TEST_CASE("gradients equal finite differences while the choices stay") {
  for (const Case& c : cases()) {
    INFO(text_of(c));
    Tiny tiny(c);
    const at::Tensor x = input(), upstream = at::randn(
                                      {2, 7, 12}, at::detail::createCPUGenerator(6), at::kFloat);
    const auto objective = [&](at::Tensor* counts) {
      const MixtureOutput out = tiny.mixture->forward(x, tiny.context);
      *counts = out.counts_E;
      return (out.y_BTD * upstream).to(at::kDouble).sum() + 2 * out.balance;
    };
    at::Tensor counts;
    objective(&counts).backward();
    int compared = 0;
    for (const auto& item : tiny.mixture->named_parameters()) {
      INFO(item.key());
      const at::Tensor gradient = item.value().grad();
      const double norm = gradient.norm().item<double>();
      const c10::NoGradGuard no_grad;
      const at::Tensor start = item.value().clone();
      const auto value_at = [&](double offset, at::Tensor* chosen) {
        item.value().copy_(start).add_(gradient, offset / std::max(norm, 1e-9));
        return objective(chosen).item<double>();
      };
      at::Tensor above, below;
      const double slope = (value_at(5e-3, &above) - value_at(-5e-3, &below)) / 1e-2;
      item.value().copy_(start);
      if (at::equal(above, counts) && at::equal(below, counts)) {
        CHECK(slope == Approx(norm).epsilon(0.02).margin(2e-3));
        ++compared;
      }
    }
    CHECK(compared > 10);
  }
}

TEST_CASE("an expert without rows gets gradients of zero and changes nothing") {
  for (const LinearSpec& spec : {LinearSpec{}, test::ternary_spec()}) {
    Tiny tiny({2, 1, false, FfnKind::kSwiGlu, NormPlacement::kSubln}, spec);
    const at::Tensor x = input(2);  // four sub-tokens for five experts
    const MixtureOutput out = tiny.mixture->forward(x, tiny.context);
    out.y_BTD.sum().backward();
    tiny.context.backward_to_latents();
    const auto idle = out.counts_E.eq(0);
    CHECK(idle.sum().item<int64_t>() >= 1);
    const auto parameters = tiny.mixture->named_parameters();
    for (int64_t expert = 0; expert < 5; ++expert) {
      const at::Tensor gradient = parameters[setun::str("experts.", expert, ".up.weight")].grad();
      REQUIRE(gradient.defined());
      CHECK((gradient.abs().sum().item<double>() == 0) == idle[expert].item<bool>());
      REQUIRE(parameters[setun::str("experts.", expert, ".sub_norm.weight")].grad().defined());
    }
    const c10::NoGradGuard no_grad;  // which leaves idle experts out
    CHECK(at::equal(tiny.mixture->forward(x, tiny.context).y_BTD, out.y_BTD));
  }
}

TEST_CASE("a row's result does not depend on the other rows") {
  for (const LinearSpec& spec : {LinearSpec{}, test::ternary_spec()}) {
    Tiny tiny({3, 2, false, FfnKind::kSwiGlu, NormPlacement::kSubln}, spec);
    const c10::NoGradGuard no_grad;
    const at::Tensor x = input();
    at::Tensor changed = x.clone();
    changed.narrow(1, 3, 4).mul_(5).add_(1);
    const at::Tensor a = tiny.mixture->forward(x, tiny.context).y_BTD;
    const at::Tensor b = tiny.mixture->forward(changed, tiny.context).y_BTD;
    CHECK(at::allclose(a.narrow(1, 0, 3), b.narrow(1, 0, 3), 1e-5, 1e-6));
  }
}

TEST_CASE("with bf16 compute the router and the gates stay fp32") {
  const Case c{2, 2, false, FfnKind::kSwiGlu, NormPlacement::kSubln};
  Tiny narrow(c, {}, at::kBFloat16), wide(c);
  CHECK(narrow.mixture->router->options.compute == at::kFloat);
  CHECK(narrow.mixture->head->options.compute == at::kBFloat16);
  const c10::NoGradGuard no_grad;
  const at::Tensor a = narrow.mixture->forward(input(), narrow.context).y_BTD;
  const at::Tensor b = wide.mixture->forward(input(), wide.context).y_BTD;
  CHECK((a.to(at::kFloat) - b).norm().item<double>() < 0.05 * b.norm().item<double>());
}

}  // namespace
}  // namespace setun
