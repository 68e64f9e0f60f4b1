// QuantContext: weights are quantized once per step and shared; gradients gather in one leaf;
// phases and ramps blend.
#include "quant/quant_context.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/linear.h>

#include "ops/ops.h"
#include "quant/fake_quantize.h"
#include "quant/tensors.h"
#include "support/catch.h"

namespace setun {
namespace {

using test::normal;
using test::same_bits;

// weight() and activation() are of simulated products; integer ones: integer_linear_test.cpp.
const ProductOptions kSimulated{.products = Products::kSimulated};

const LinearSpec kB158{.weight = {.scheme = WeightScheme::kAbsmean},
                       .activation = {.scheme = ActivationScheme::kAbsmax}};

QuantPlan plan(std::vector<LinearSpec> phases, int64_t ramp = 0) {
  QuantPlan made;
  made.layers = {{"layer", Role::kDown, 0, 8, 16}};
  for (std::size_t i = 0; i < phases.size(); ++i) {
    made.phases.push_back({static_cast<int64_t>(10 * i), i == 0 ? 0 : ramp, {phases[i]}});
  }
  return made;
}

at::Tensor product(QuantContext& context, const at::Tensor& x, const at::Tensor& latent) {
  return at::linear(context.activation(0, x), context.weight(0, latent));
}

TEST_CASE("a weight is quantized once per step: micro-batches and evaluation share the codes",
          "[quant]") {
  QuantContext context(plan({kB158}), kSimulated);
  const at::Tensor latent = normal({8, 16}, 1).requires_grad_();
  for (int step = 0; step < 3; ++step) {
    context.begin_step({.step = step});
    for (int micro = 0; micro < 4; ++micro) {
      product(context, normal({2, 16}, micro), latent).sum().backward();
    }
    {
      const c10::NoGradGuard evaluation;
      product(context, normal({2, 16}, 9), latent);
    }
    context.backward_to_latents();
    CHECK(context.quantize_count() == step + 1);
    context.invalidate();
  }
}

TEST_CASE("codes made by an evaluation serve the training step that follows", "[quant]") {
  QuantContext context(plan({kB158}), kSimulated);
  const at::Tensor latent = normal({8, 16}, 1).requires_grad_();
  {
    const c10::NoGradGuard evaluation;
    product(context, normal({2, 16}, 9), latent);
  }
  product(context, normal({2, 16}, 3), latent).sum().backward();
  context.backward_to_latents();
  CHECK(context.quantize_count() == 1);
  CHECK(latent.grad().defined());
}

TEST_CASE("micro-batches add up to the gradient of one batch, moved to the latent without a copy",
          "[quant]") {
  QuantContext context(plan({kB158}), kSimulated);
  const at::Tensor latent = normal({8, 16}, 1).requires_grad_(), x = normal({6, 16}, 2);
  product(context, x, latent).sum().backward();
  const at::Tensor leaf = context.weight(0, latent);
  const at::Tensor whole = leaf.grad().clone();
  const void* memory = leaf.grad().const_data_ptr();
  context.backward_to_latents();
  CHECK(latent.grad().const_data_ptr() == memory);
  CHECK_FALSE(leaf.grad().defined());
  latent.mutable_grad().reset();
  for (int64_t part = 0; part < 3; ++part) {
    product(context, x.narrow(0, 2 * part, 2), latent).sum().backward();
  }
  context.backward_to_latents();
  CHECK(at::allclose(latent.grad(), whole, 1e-6, 1e-6));
}

TEST_CASE("a full-precision layer multiplies by the latent itself and its input", "[quant]") {
  QuantContext context(plan({LinearSpec{}}), kSimulated);
  const at::Tensor latent = normal({8, 16}, 1).requires_grad_(), x = normal({2, 16}, 2);
  CHECK(context.weight(0, latent).is_same(latent));
  CHECK(context.activation(0, x).is_same(x));
  CHECK(context.quantize_count() == 0);
  CHECK_FALSE(context.quantized(0, latent).codes.defined());
}

TEST_CASE("equal inputs of consecutive layers share one quantized tensor, other inputs do not",
          "[quant]") {
  QuantContext context(plan({kB158}), kSimulated);
  const at::Tensor x = normal({2, 16}, 2).requires_grad_(), other = x.detach().clone();
  const at::Tensor first = context.activation(0, x);
  CHECK(context.activation(0, x).is_same(first));
  CHECK_FALSE(context.activation(0, other).is_same(first));
  const c10::NoGradGuard no_grad;
  CHECK_FALSE(context.activation(0, x).requires_grad());
}

TEST_CASE("changing phase or ramp drops the codes; the same state keeps them", "[quant]") {
  QuantContext context(plan({LinearSpec{}, kB158}, 4), kSimulated);
  const at::Tensor latent = normal({8, 16}, 1);
  context.begin_step({.step = 10, .phase = 1, .ramp = 0.2});
  context.weight(0, latent);
  context.begin_step({.step = 10, .phase = 1, .ramp = 0.2, .lr = 1});
  context.weight(0, latent);
  CHECK(context.quantize_count() == 1);
  context.begin_step({.step = 11, .phase = 1, .ramp = 0.4});
  context.weight(0, latent);
  CHECK(context.quantize_count() == 2);
}

TEST_CASE("a ramp blends weights and activations between the phase before and this one",
          "[quant]") {
  LinearSpec a4 = kB158;
  a4.activation.bits = 4;
  QuantContext context(plan({kB158, a4}, 4), kSimulated);
  const at::Tensor x = normal({3, 16}, 2), latent = normal({8, 16}, 1);
  context.begin_step({.step = 11, .phase = 1, .ramp = 0.25});
  const at::Tensor before = ops::fake_quantize_absmax(x, 8, 1e-5),
                   now = ops::fake_quantize_absmax(x, 4, 1e-5);
  CHECK(same_bits(context.activation(0, x), before.mul(0.75).add(now, 0.25)));
  CHECK(same_bits(context.weight(0, latent), quantize_weight(latent, kB158, 0).value));

  QuantContext warm_up(plan({LinearSpec{}, kB158}, 4), kSimulated);
  warm_up.begin_step({.step = 11, .phase = 1, .ramp = 0.25});
  const at::Tensor value = quantize_weight(latent, kB158, 0).value;
  CHECK(same_bits(warm_up.weight(0, latent), latent.mul(0.75).add(value, 0.25)));
  warm_up.begin_step({.step = 14, .phase = 1, .ramp = 1.0});
  CHECK(same_bits(warm_up.weight(0, latent), value));
}

TEST_CASE("the health of an input counts ends and zeros, and is recorded only while asked for",
          "[quant]") {
  QuantContext context(plan({kB158}), kSimulated);
  const at::Tensor x = at::tensor({1.0F, -1.0F, 0.5F, 0.0F});
  context.activation(0, x);
  CHECK_FALSE(context.input_health_by_layer()[0].has_value());
  context.collect_input_health(true);
  context.activation(0, x);
  const InputHealth health = context.input_health_by_layer()[0].value();
  CHECK(health.clip_share == 0.5);  // 127 and -127 of four codes
  CHECK(health.zero_share == 0.25);
}

TEST_CASE("without gradients a parameter is converted once until it changes", "[quant]") {
  QuantContext context(plan({LinearSpec{}}));
  const at::Tensor weight = normal({8, 16}, 1).requires_grad_();
  CHECK(context.cast(weight, at::kFloat).is_same(weight));
  CHECK(context.cast(weight, at::kBFloat16).requires_grad());
  const c10::NoGradGuard no_grad;
  const at::Tensor first = context.cast(weight, at::kBFloat16);
  CHECK(context.cast(weight, at::kBFloat16).is_same(first));
  CHECK(same_bits(first, weight.detach().to(at::kBFloat16)));
  weight.detach().mul_(2);
  context.invalidate();
  CHECK(same_bits(context.cast(weight, at::kBFloat16), weight.detach().to(at::kBFloat16)));
}

}  // namespace
}  // namespace setun
