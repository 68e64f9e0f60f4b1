// Gradients of whole models: finite differences in full precision, the composite-detach oracle for
// ternary ones.
#include <ATen/ATen.h>

#include <cmath>

#include "model/tiny_model.h"
#include "ops/ops.h"
#include "support/catch.h"

namespace setun {
namespace {

// d loss / d (theta + h direction) by a central difference, for one parameter.
double directional_difference(test::TinyModel& tiny, at::Tensor parameter,
                              const at::Tensor& direction, double h, const at::Tensor& tokens,
                              const at::Tensor& targets) {
  const c10::NoGradGuard no_grad;
  const at::Tensor start = parameter.clone();
  const auto loss_at = [&](double offset) {
    parameter.copy_(start).add_(direction, offset);
    const at::Tensor logits = tiny.logits(tokens).to(at::kDouble);
    return cross_entropy_sum(logits, targets).sum.item<double>();
  };
  const double slope = (loss_at(h) - loss_at(-h)) / (2 * h);
  parameter.copy_(start);
  return slope;
}

TEST_CASE("gradients of every parameter of a full-precision model equal finite differences") {
  for (const auto& [placement, name] : test::decoder_placements()) {
    for (const FfnKind kind : {FfnKind::kSwiGlu, FfnKind::kRelu2Glu}) {
      ModelOptions options = test::tiny_options();
      options.norm = {.placement = placement,
                      .kind = kind == FfnKind::kSwiGlu ? NormKind::kRms : NormKind::kLayer,
                      .gain = kind == FfnKind::kSwiGlu};
      options.ffn_kind = kind;
      options.tied_embeddings = kind == FfnKind::kSwiGlu;
      options.init = {.kind = InitKind::kFanIn, .std = 1.0};
      test::TinyModel tiny(options);
      const at::Tensor tokens = test::random_tokens({2, 10}, 41),
                       targets = test::random_tokens({2, 10}, 41, 8);
      tiny.backward(tokens, targets);
      for (const auto& item : tiny.model->named_parameters()) {
        INFO(name << " " << item.key());
        const at::Tensor gradient = item.value().grad();
        REQUIRE(gradient.defined());
        // Along the gradient itself, so that the slope stands out of fp32 rounding: it is the
        // gradient's norm.
        const double norm = gradient.norm().item<double>();
        const double slope =
            directional_difference(tiny, item.value(), gradient / norm, 2e-2, tokens, targets);
        CHECK(slope == Approx(norm).epsilon(0.01));
      }
    }
  }
}

// value in the forward pass, identity from x in the backward pass.
at::Tensor straight_through(const at::Tensor& x, const at::Tensor& value) {
  return x + (value - x).detach();
}

at::Tensor quantized_input(const at::Tensor& x) {
  return straight_through(x, ops::dequantize_absmax(ops::quantize_absmax(x.detach(), 8, 1e-5)));
}

// The sub-normed tied SwiGLU decoder written out with stock operators and detach: no QuantContext,
// no leaves, no custom function but the rotation (tested on its own). Parameters by name, as in the
// checkpoint.
struct Oracle {
  std::map<std::string, at::Tensor> parameters;
  ModelOptions options;

  at::Tensor linear(const std::string& name, const at::Tensor& x) const {
    const at::Tensor& w = parameters.at(name + ".weight");
    const at::Tensor value = ops::dequantize_absmean(ops::quantize_absmean(w.detach(), 0, 1e-5));
    return at::linear(quantized_input(x), straight_through(w, value));
  }
  at::Tensor norm(const std::string& name, const at::Tensor& x) const {
    return ops::rms_norm(x, parameters.at(name + ".weight"), options.norm.eps);
  }
  at::Tensor attention(const std::string& block, const at::Tensor& x) const {
    const int64_t batch = x.size(0), length = x.size(1), dim = options.resolved_head_dim();
    const Rope rope = make_rope(0, length, dim, options.rope_base);
    const auto heads = [&](const char* name, int64_t count) {
      return linear(block + "attn." + name, x).view({batch, length, count, dim}).transpose(1, 2);
    };
    const at::Tensor q = apply_rope(heads("q", options.heads), rope);
    const at::Tensor k = apply_rope(heads("k", options.kv_heads), rope),
                     v = heads("v", options.kv_heads);
    const at::Tensor mixed =
        at::scaled_dot_product_attention(q, k, v, {}, 0.0, true, std::nullopt, true);
    const at::Tensor joined = mixed.transpose(1, 2).reshape({batch, length, options.heads * dim});
    return linear(block + "attn.o", norm(block + "attn.sub_norm", joined));
  }
  at::Tensor feed_forward(const std::string& block, const at::Tensor& x) const {
    const at::Tensor hidden = at::silu(linear(block + "ffn.gate", x)) * linear(block + "ffn.up", x);
    return linear(block + "ffn.down", norm(block + "ffn.sub_norm", hidden));
  }
  at::Tensor logits(const at::Tensor& tokens) const {
    at::Tensor x = at::embedding(parameters.at("embed.weight"), tokens);
    for (int64_t i = 0; i < options.layers; ++i) {
      const std::string block = setun::str("blocks.", i, ".");
      x = x + attention(block, norm(block + "attn_norm", x));
      x = x + feed_forward(block, norm(block + "ffn_norm", x));
    }
    return at::linear(norm("norm", x), parameters.at("embed.weight"));
  }
};

TEST_CASE("a ternary model's loss and gradients equal the composite-detach oracle's") {
  const ModelOptions options = test::tiny_options();
  test::TinyModel tiny(options, test::ternary_spec());
  Oracle oracle{.parameters = {}, .options = options};
  for (const auto& item : tiny.model->named_parameters()) {
    oracle.parameters[item.key()] = item.value().detach().clone().requires_grad_();
  }
  const at::Tensor tokens = test::random_tokens({3, 14}, 41),
                   targets = test::random_tokens({3, 14}, 41, 8);
  const double loss = tiny.backward(tokens, targets);
  const TokenLoss expected = cross_entropy_sum(oracle.logits(tokens), targets);
  expected.sum.backward();
  CHECK(loss == Approx(expected.sum.item<double>()).epsilon(1e-6));
  for (const auto& item : tiny.model->named_parameters()) {
    INFO(item.key());
    const at::Tensor got = item.value().grad(), want = oracle.parameters[item.key()].grad();
    REQUIRE(got.defined());
    CHECK((got - want).norm().item<double>() <= 1e-5 * want.norm().item<double>());
  }
}

TEST_CASE("micro-batches add up to the gradient of the whole batch, with one quantization") {
  test::TinyModel whole(test::tiny_options(), test::ternary_spec()),
      parts(test::tiny_options(), test::ternary_spec());
  const at::Tensor tokens = test::random_tokens({4, 8}, 41),
                   targets = test::random_tokens({4, 8}, 41, 8);
  whole.backward(tokens, targets);
  for (int64_t i = 0; i < 2; ++i) {
    cross_entropy_sum(parts.logits(tokens.narrow(0, 2 * i, 2)), targets.narrow(0, 2 * i, 2))
        .sum.backward();
  }
  parts.context.backward_to_latents();
  CHECK(parts.context.quantize_count() == 14);
  const auto expected = whole.model->named_parameters();
  for (const auto& item : parts.model->named_parameters()) {
    INFO(item.key());
    CHECK(at::allclose(item.value().grad(), expected[item.key()].grad(), 1e-4, 1e-4));
  }
}

}  // namespace
}  // namespace setun
