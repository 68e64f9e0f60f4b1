// Integer products against simulated ones: equal codes, outputs and gradients within rounding,
// behind norms and rotations, in fp32 and bf16, with the 8-bit input gradient, and for no tokens at
// all. Every method against its oracle: methods_test.cpp.
#include "quant/estimators/integer_linear.h"

#include <ATen/ATen.h>

#include "nn/bit_linear.h"
#include "quant/tensors.h"
#include "support/catch.h"

namespace setun {
namespace {

using test::normal;
using test::same_bits;

constexpr int64_t kIn = 192, kOut = 80, kTokens = 9;

LinearSpec b158() {
  LinearSpec spec;
  spec.weight.scheme = WeightScheme::kAbsmean;
  spec.activation.scheme = ActivationScheme::kAbsmax;
  return spec;
}

QuantContext context_of(const LinearSpec& spec, const ProductOptions& products) {
  return QuantContext(
      {.layers = {{"layer", Role::kDown, 0, kOut, kIn}}, .phases = {{0, 0, {spec}}}}, products);
}

struct Result {
  at::Tensor y, dx, dw, dgain, codes;
};

Result run(const LinearSpec& spec, const ProductOptions& products, NormKind norm,
           at::ScalarType compute = at::kFloat, at::ScalarType input = at::kFloat) {
  QuantContext context = context_of(spec, products);
  BitLinear linear(BitLinearOptions{.in_features = kIn,
                                    .out_features = kOut,
                                    .own_norm = true,
                                    .norm_kind = norm,
                                    .norm_gain = norm == NormKind::kRms,
                                    .compute = compute});
  {
    const at::NoGradGuard no_grad;
    linear->weight.copy_(normal({kOut, kIn}, 1));
    if (norm == NormKind::kRms) {
      linear->norm->weight.copy_(normal({kIn}, 2).abs());
    }
  }
  const at::Tensor x = normal({3, kTokens / 3, kIn}, 3).to(input).requires_grad_();
  const at::Tensor y = linear(x, context);
  y.backward(normal({3, kTokens / 3, kOut}, 4).to(compute));
  context.backward_to_latents();
  const at::Tensor gain = linear->norm->weight;
  return {y.detach(), x.grad(), linear->weight.grad(), gain.defined() ? gain.grad() : at::Tensor(),
          context.quantized(0, linear->weight).codes};
}

void check_close(const at::Tensor& got, const at::Tensor& want, double share) {
  REQUIRE(got.sizes() == want.sizes());
  CHECK(got.scalar_type() == want.scalar_type());
  const at::Tensor a = got.to(at::kDouble), b = want.to(at::kDouble);
  const double off = (a - b).abs().max().item<double>(), size = b.abs().max().item<double>();
  CHECK(off <= share * size);
}

void check_close(const Result& got, const Result& want, double share) {
  CHECK(same_bits(got.codes, want.codes));
  check_close(got.y, want.y, share);
  check_close(got.dx, want.dx, share);
  check_close(got.dw, want.dw, share);
  CHECK(got.dgain.defined() == want.dgain.defined());
  if (got.dgain.defined()) {
    check_close(got.dgain, want.dgain, share);
  }
}

std::vector<std::pair<const char*, LinearSpec>> specs() {
  LinearSpec rows = b158(), groups = b158(), rotated = b158(), signs = b158(), both = b158(),
             four = b158(), four_rotated = b158();
  rows.weight.granularity = Granularity::kRow;
  groups.weight.granularity = Granularity::kGroup;
  groups.weight.group_size = 64;
  rotated.rotation.kind = signs.rotation.kind = both.rotation.kind = RotationKind::kHadamard;
  signs.rotation.signs = true;
  both.rotation.of = Rotated::kBoth;
  four.activation.bits = 4;
  four_rotated.activation = {.scheme = ActivationScheme::kAbsmean, .bits = 4};
  four_rotated.rotation.kind = RotationKind::kHadamard;
  return {{"b158", b158()}, {"rows", rows}, {"groups", groups}, {"rotated", rotated},
          {"signs", signs}, {"both", both}, {"4 bits", four},   {"4 bits rotated", four_rotated}};
}

TEST_CASE("integer and simulated products agree behind either norm", "[quant]") {
  for (const auto& [name, spec] : specs()) {
    for (const NormKind norm : {NormKind::kRms, NormKind::kLayer}) {
      INFO(name << ", " << enum_name(norm));
      check_close(run(spec, {.products = Products::kInteger}, norm),
                  run(spec, {.products = Products::kSimulated}, norm), 2e-6);
    }
  }
}

TEST_CASE("in bf16 both stay within bf16's rounding of the fp32 result, for bf16 inputs too",
          "[quant]") {
  for (const auto& [name, spec] : specs()) {
    INFO(name);
    const Result exact = run(spec, {.products = Products::kSimulated}, NormKind::kRms);
    Result half = run(spec, {.products = Products::kInteger}, NormKind::kRms, at::kBFloat16);
    CHECK(half.y.scalar_type() == at::kBFloat16);
    half.y = half.y.to(at::kFloat);
    check_close(half, exact, 0x1p-6);
    const Result narrow =
        run(spec, {.products = Products::kInteger}, NormKind::kRms, at::kBFloat16, at::kBFloat16);
    CHECK(narrow.dx.scalar_type() == at::kBFloat16);
    CHECK(same_bits(narrow.codes, exact.codes));
  }
}

TEST_CASE("an 8-bit input gradient is off by at most its rounding, and dW not at all", "[quant]") {
  for (const auto& [name, spec] : specs()) {
    if (spec.weight.granularity == Granularity::kGroup) {
      continue;  // refused by the plan
    }
    INFO(name);
    const Result exact = run(spec, {}, NormKind::kLayer);
    for (const InputGradient mode : {InputGradient::kInt8, InputGradient::kInt8Stochastic}) {
      const Result rounded = run(spec, {.input_gradient = mode}, NormKind::kLayer);
      CHECK(same_bits(rounded.dw, exact.dw));
      CHECK(same_bits(rounded.y, exact.y));
      // 80 rounding errors of one 127th of the largest dY each, of random signs.
      check_close(rounded.dx, exact.dx, 0.05);
      CHECK_FALSE(same_bits(rounded.dx, exact.dx));
    }
  }
}

TEST_CASE("the stochastic input gradient is unbiased over draws", "[quant]") {
  const LinearSpec spec = b158();
  const at::Tensor w = normal({kOut, kIn}, 1), dy = normal({2, kOut}, 4);
  const IntegerWeight weight = integer_weight(w, spec, {.with_transposed = true});
  const at::Tensor exact =
      at::mm(dy, ops::unpack_ternary(weight.packed, at::kFloat)).mul(weight.scale);
  at::Tensor mean = at::zeros_like(exact);
  constexpr int kDraws = 400;
  for (int64_t key = 0; key < kDraws; ++key) {
    const ops::RowCodes q = ops::quantize_gradient_rows(dy, /*stochastic=*/true, key);
    mean += ops::ternary_linear(q, weight.transposed, weight.scale, at::kFloat) / kDraws;
  }
  // One draw: 80 errors of deviation at most half a step; over 400 draws a twentieth of that.
  const double step = dy.abs().max().item<double>() / 127 * weight.scale.item<double>();
  const double deviation = 0.5 * step * std::sqrt(80.0) / std::sqrt(400.0);
  CHECK((mean - exact).abs().max().item<double>() <= 5 * deviation);
}

TEST_CASE("no tokens give an empty output and zero gradients", "[quant]") {
  QuantContext context = context_of(b158(), {});
  BitLinear linear(BitLinearOptions{.in_features = kIn, .out_features = kOut});
  const at::Tensor x = at::zeros({0, kIn}).requires_grad_();
  const at::Tensor y = linear(x, context);
  CHECK(y.sizes() == at::IntArrayRef({0, kOut}));
  y.sum().backward();
  context.backward_to_latents();
  REQUIRE(linear->weight.grad().defined());
  CHECK(linear->weight.grad().count_nonzero().item<int64_t>() == 0);
}

TEST_CASE("a frozen weight still passes the gradient on to its input", "[quant]") {
  at::Tensor gradients[2];
  for (const Products products : {Products::kInteger, Products::kSimulated}) {
    QuantContext context = context_of(b158(), {.products = products});
    BitLinear linear(BitLinearOptions{.in_features = kIn, .out_features = kOut});
    linear->weight.detach().copy_(normal({kOut, kIn}, 1));
    linear->weight.requires_grad_(false);
    const at::Tensor x = normal({6, kIn}, 2).requires_grad_();
    linear(x, context).backward(normal({6, kOut}, 3));
    context.backward_to_latents();
    CHECK_FALSE(linear->weight.grad().defined());
    REQUIRE(x.grad().defined());
    gradients[products == Products::kInteger ? 0 : 1] = x.grad();
  }
  check_close(gradients[0], gradients[1], 2e-6);
}

TEST_CASE("micro-batches share the packed weight, and their gradients gather in the latent",
          "[quant]") {
  QuantContext context = context_of(b158(), {});
  BitLinear linear(BitLinearOptions{.in_features = kIn, .out_features = kOut});
  linear->weight.detach().copy_(normal({kOut, kIn}, 1));
  const at::Tensor x = normal({6, kIn}, 2), dy = normal({6, kOut}, 3);
  for (int64_t part = 0; part < 3; ++part) {
    linear(x.narrow(0, 2 * part, 2), context).backward(dy.narrow(0, 2 * part, 2));
  }
  context.backward_to_latents();
  CHECK(context.quantize_count() == 1);
  const at::Tensor parts = linear->weight.grad().clone();
  linear->weight.mutable_grad().reset();
  linear(x, context).backward(dy);
  context.backward_to_latents();
  check_close(parts, linear->weight.grad(), 1e-6);
}

}  // namespace
}  // namespace setun
