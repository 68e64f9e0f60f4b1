// Published and hand-computed vectors of BitNet b1.58: the slide's matrix, ties, zero inputs, and a
// whole product.
#include <ATen/ops/allclose.h>
#include <ATen/ops/zeros.h>

#include "nn/bit_linear.h"
#include "ops/ops.h"
#include "quant/tensors.h"
#include "support/catch.h"

namespace setun {
namespace {

constexpr double kEps = 1e-5;

at::Tensor slide_weight() {
  return at::tensor(
             {-.6781F, -.7863F, -.1131F, .5713F, -1.0595F, -.9172F, .1698F, -.3213F, -.1643F})
      .view({3, 3});
}
at::Tensor two_tokens() {
  return at::tensor({.3350F, .6239F, -.4644F, -1.1178F, -.4109F, -.3927F}).view({2, 3});
}
at::Tensor codes(std::vector<int> values, at::IntArrayRef shape) {
  return at::tensor(values).to(at::kChar).view(shape);
}

TEST_CASE("the first author's example matrix gives its published codes", "[quant]") {
  const ops::Codes q = ops::quantize_absmean(slide_weight(), 0, kEps);
  CHECK(q.scale.item<double>() == Approx(0.5312111).epsilon(1e-6));
  CHECK(at::equal(q.codes, codes({-1, -1, 0, 1, -1, -1, 0, -1, 0}, {3, 3})));
}

TEST_CASE("two tokens give the int8 codes and multipliers computed by hand", "[quant]") {
  const ops::Codes q = ops::quantize_absmax(two_tokens(), 8, kEps);
  CHECK(at::equal(q.codes, codes({68, 127, -95, -127, -47, -45}, {2, 3})));
  CHECK(q.scale[0].item<double>() == Approx(203.558263).epsilon(1e-6));
  CHECK(q.scale[1].item<double>() == Approx(113.616031).epsilon(1e-6));
}

TEST_CASE("halves round to even before clipping", "[quant]") {
  const at::Tensor w = at::tensor({1.0F, .5F, -.5F, -2.0F}).view({1, 4});  // absmean 1
  CHECK(at::equal(ops::quantize_absmean(w, 0, kEps).codes, codes({1, 0, 0, -1}, {1, 4})));
}

TEST_CASE("zero inputs give zero codes and the smallest scale", "[quant]") {
  const ops::Codes x = ops::quantize_absmax(at::zeros({1, 4}), 8, kEps);
  CHECK(x.scale.item<double>() == Approx(1.27e7));
  CHECK(x.codes.eq(0).all().item<bool>());
  const ops::Codes w = ops::quantize_absmean(at::zeros({2, 2}), 0, kEps);
  CHECK(w.scale.item<double>() == Approx(1e-5));
}

struct Layer {
  Layer() : context(plan()), linear(BitLinearOptions{.in_features = 3, .out_features = 3}) {
    const torch::NoGradGuard no_grad;
    linear->weight.copy_(slide_weight());
  }
  static QuantPlan plan() {
    QuantPlan made;
    made.layers = {{"layer", Role::kDown, 0, 3, 3}};
    made.phases = {{0,
                    0,
                    {{.weight = {.scheme = WeightScheme::kAbsmean},
                      .activation = {.scheme = ActivationScheme::kAbsmax}}}}};
    return made;
  }
  QuantContext context;
  BitLinear linear;
};

TEST_CASE("BitLinear's product and gradients are the ones computed by hand", "[quant]") {
  Layer layer;
  const at::Tensor x = two_tokens().requires_grad_();
  const at::Tensor y = layer.linear(x, layer.context);
  CHECK(at::allclose(
      y, at::tensor({-.508877F, .093947F, -.331423F, .813536F, -.163642F, .219748F}).view({2, 3}),
      1e-5, 1e-6));
  y[0].sum().backward();
  layer.context.backward_to_latents();
  CHECK(at::allclose(x.grad()[0], at::tensor({0.0F, -1.593633F, -.531211F}), 1e-5, 1e-6));
  for (int64_t row = 0; row < 3; ++row) {
    CHECK(at::allclose(layer.linear->weight.grad()[row],
                       at::tensor({.334057F, .623900F, -.466697F}), 1e-5, 1e-6));
  }
}

}  // namespace
}  // namespace setun
