// Every combination of rotation, input quantizer, mask and weight quantizer that a fragment uses,
// by integer and by simulated products, as a whole BitLinear against a composite-detach oracle in
// double precision, written with plain matrix products and sorts: x + (q(x) - x).detach().
#include <ATen/ATen.h>

#include <array>
#include <bit>
#include <cmath>
#include <functional>

#include "nn/bit_linear.h"
#include "quant/quantizers/sparsity.h"
#include "quant/rotation.h"
#include "quant/tensors.h"
#include "support/catch.h"

namespace setun {
namespace {

using test::normal;

constexpr int64_t kIn = 128, kOut = 64, kTokens = 6;

at::Tensor ste(const at::Tensor& x, const at::Tensor& quantized) {
  return x + (quantized - x).detach();
}

at::Tensor through_fp32(const at::Tensor& x, const std::function<at::Tensor(at::Tensor)>& f) {
  return f(x.detach().to(at::kFloat)).to(at::kDouble);
}

// blockdiag(H) with the signs in front, from the definition H[i][j] = (-1)^popcount(i & j) /
// sqrt(n).
at::Tensor rotation_matrix(const RotationSpec& spec, int64_t width) {
  const int64_t block = spec.resolved_block(width);
  at::Tensor r = at::zeros({width, width}, at::kDouble);
  auto entry = r.accessor<double, 2>();
  for (int64_t i = 0; i < width; ++i) {
    for (int64_t j = i / block * block; j < (i / block + 1) * block; ++j) {
      const bool odd = std::popcount(static_cast<uint64_t>((i % block) & (j % block))) % 2 == 1;
      entry[i][j] = (odd ? -1.0 : 1.0) / std::sqrt(static_cast<double>(block));
    }
  }
  return spec.signs ? rotation_signs(spec, width).to(at::kDouble).unsqueeze(1) * r : r;
}

at::Tensor rotated(const at::Tensor& v, const RotationSpec& spec) {
  return spec.kind == RotationKind::kNone ? v : v.matmul(rotation_matrix(spec, v.size(-1)));
}

// Keeps the k largest of each row (of n in every m with nm), by a full stable sort.
at::Tensor oracle_mask(const at::Tensor& x, const SparsitySpec& spec) {
  const bool blocks = spec.kind == SparsityKind::kNm;
  const at::Tensor rows = blocks ? x.reshape({-1, spec.m}) : x;
  const int64_t k = blocks ? spec.n : kept_features(spec, x.size(-1));
  const auto [values, order] = rows.abs().sort(/*stable=*/true, -1, /*descending=*/true);
  return at::zeros_like(rows).scatter(-1, order.narrow(-1, 0, k), 1.0).reshape(x.sizes());
}

at::Tensor oracle_input(const at::Tensor& x, const LinearSpec& spec) {
  const at::Tensor dense = rotated(x, spec.rotation);
  const at::Tensor q = ste(dense, through_fp32(dense, [&](const at::Tensor& v) {
                             return quantize_input(v, {.activation = spec.activation});
                           }));
  if (spec.sparsity.kind == SparsityKind::kNone) {
    return q;
  }
  const at::Tensor mask = oracle_mask(dense.detach(), spec.sparsity);
  at::Tensor sparse =
      spec.sparsity.gradient == SparsityGradient::kSte ? ste(q, q * mask) : q * mask;
  if (spec.sparsity.rescale == Rescale::kL2) {
    const at::Tensor d = dense.detach();
    sparse = sparse * (d.norm(2, {-1}, true) / (d * mask).norm(2, {-1}, true));
  }
  return sparse;
}

at::Tensor oracle_weight(const at::Tensor& w, const LinearSpec& spec) {
  const at::Tensor r = spec.rotation.rotates_weight() ? rotated(w, spec.rotation) : w;
  if (spec.weight.scheme == WeightScheme::kNone) {
    return r;
  }
  WeightQuantSpec unblended = spec.weight;
  unblended.blend = 1;
  const at::Tensor value = through_fp32(r, [&](const at::Tensor& v) {
    return quantize_weight(v, {.weight = unblended}, draws_key(StepState{}, 0)).value;
  });
  return r + spec.weight.blend * (value - r).detach();
}

std::vector<std::pair<std::string, LinearSpec>> methods() {
  const WeightQuantSpec ternary{.scheme = WeightScheme::kAbsmean};
  const ActivationQuantSpec a8{.scheme = ActivationScheme::kAbsmax};
  const ActivationQuantSpec a4{.scheme = ActivationScheme::kAbsmean, .bits = 4};
  const RotationSpec hadamard{.kind = RotationKind::kHadamard};
  WeightQuantSpec median = ternary, binary = ternary, parts = ternary, stochastic = ternary,
                  blended = ternary, grouped = ternary;
  median.scheme = WeightScheme::kAbsmedian;
  binary.scheme = parts.scheme = WeightScheme::kBinary;
  parts.granularity = Granularity::kPart;
  parts.parts = 4;
  parts.parts_axis = PartAxis::kColumns;
  stochastic.rounding = Rounding::kStochastic;
  blended.blend = 0.3;
  grouped.granularity = Granularity::kGroup;
  grouped.group_size = 64;
  SparsitySpec topk{.kind = SparsityKind::kTopk, .keep = 0.3}, nm{.kind = SparsityKind::kNm};
  SparsitySpec masked = topk, rescaled = topk;
  masked.gradient = SparsityGradient::kMasked;
  rescaled.rescale = Rescale::kL2;
  RotationSpec signs = hadamard;
  signs.signs = true;
  signs.of = Rotated::kBoth;
  signs.block = 64;
  const ActivationQuantSpec whole{.scheme = ActivationScheme::kAbsmax,
                                  .granularity = Granularity::kTensor};
  const ActivationQuantSpec b1{.scheme = ActivationScheme::kB1,
                               .granularity = Granularity::kTensor};
  const ActivationQuantSpec b1_shifted{.scheme = ActivationScheme::kB1Shifted};
  const ActivationQuantSpec fp4{.scheme = ActivationScheme::kFp4, .bits = 4};
  const RotationSpec still;
  const SparsitySpec dense;
  return {{"median", {median, a8, still, dense}},
          {"binary", {binary, a8, still, dense}},
          {"binary parts of columns", {parts, a8, still, dense}},
          {"stochastic", {stochastic, a8, still, dense}},
          {"blend", {blended, a8, still, dense}},
          {"absmax per tensor", {ternary, whole, still, dense}},
          {"b1", {binary, b1, still, dense}},
          {"b1 shifted", {binary, b1_shifted, still, dense}},
          {"4-bit absmean", {ternary, a4, still, dense}},
          {"fp4", {ternary, fp4, still, dense}},
          {"rotation", {ternary, a8, hadamard, dense}},
          {"rotation, 4 bits", {ternary, a4, hadamard, dense}},
          {"rotation of both, signs, groups", {grouped, a8, signs, dense}},
          {"rotation of both, full precision", {{}, {}, signs, dense}},
          {"top-k", {ternary, a8, still, topk}},
          {"top-k masked", {ternary, a8, still, masked}},
          {"top-k rescaled", {ternary, a8, still, rescaled}},
          {"n:m", {ternary, a8, still, nm}},
          {"rotation and top-k, full precision", {{}, {}, hadamard, topk}}};
}

constexpr std::array kBoth = {Products::kInteger, Products::kSimulated};

QuantContext context_of(const LinearSpec& spec, Products products = Products::kInteger) {
  return QuantContext(
      {.layers = {{"layer", Role::kDown, 0, kOut, kIn}}, .phases = {{0, 0, {spec}}}},
      {.products = products});
}

BitLinear linear_of(const at::Tensor& w, at::ScalarType compute = at::kFloat) {
  BitLinear linear(BitLinearOptions{.in_features = kIn, .out_features = kOut, .compute = compute});
  const at::NoGradGuard no_grad;
  linear->weight.copy_(w);
  return linear;
}

void check_near(const at::Tensor& got, const at::Tensor& want) {
  const double size = want.abs().max().item<double>();
  CHECK(got.to(at::kDouble).sub(want).abs().max().item<double>() <= 2e-5 * size);
}

void check_against_oracle(const LinearSpec& spec, Products products) {
  QuantContext context = context_of(spec, products);
  CHECK(context.integer(0) == (products == Products::kInteger && spec.has_integer_form()));
  const at::Tensor w = normal({kOut, kIn}, 3), x = normal({kTokens, kIn}, 5).requires_grad_();
  const at::Tensor upstream = normal({kTokens, kOut}, 4);
  BitLinear linear = linear_of(w);
  const at::Tensor y = linear(x, context);
  y.backward(upstream);
  context.backward_to_latents();

  const at::Tensor xo = x.detach().to(at::kDouble).requires_grad_();
  const at::Tensor wo = w.to(at::kDouble).requires_grad_();
  const at::Tensor yo = at::linear(oracle_input(xo, spec), oracle_weight(wo, spec));
  yo.backward(upstream.to(at::kDouble));
  check_near(y.detach(), yo.detach());
  check_near(x.grad(), xo.grad());
  check_near(linear->weight.grad(), wo.grad());
}

TEST_CASE("every method's BitLinear has the oracle's output and gradients", "[quant]") {
  for (const auto& [name, spec] : methods()) {
    for (const Products products : kBoth) {
      INFO(name << ", " << enum_name(products));
      check_against_oracle(spec, products);
    }
  }
}

TEST_CASE("every method stays finite in bf16, and for tiny, huge and zero inputs", "[quant]") {
  for (const auto& [name, spec] : methods()) {
    INFO(name);
    for (const auto& [size, products] : std::vector<std::pair<double, Products>>{{1.0, kBoth[0]},
                                                                                 {1e-30, kBoth[0]},
                                                                                 {1e18, kBoth[0]},
                                                                                 {0.0, kBoth[0]},
                                                                                 {1.0, kBoth[1]},
                                                                                 {1e-30, kBoth[1]},
                                                                                 {1e18, kBoth[1]},
                                                                                 {0.0, kBoth[1]}}) {
      INFO(size << ", " << enum_name(products));
      QuantContext context = context_of(spec, products);
      BitLinear linear = linear_of(normal({kOut, kIn}, 3), at::kBFloat16);
      const at::Tensor x = normal({kTokens, kIn}, 5).mul(size).requires_grad_();
      const at::Tensor y = linear(x, context);
      y.to(at::kFloat).sum().backward();
      context.backward_to_latents();
      CHECK(y.isfinite().all().item<bool>());
      CHECK(x.grad().isfinite().all().item<bool>());
      CHECK(linear->weight.grad().isfinite().all().item<bool>());
    }
  }
}

TEST_CASE("a NaN input reaches the output of every method", "[quant]") {
  for (const auto& [name, spec] : methods()) {
    for (const Products products : kBoth) {
      INFO(name << ", " << enum_name(products));
      QuantContext context = context_of(spec, products);
      BitLinear linear = linear_of(normal({kOut, kIn}, 3));
      at::Tensor x = normal({kTokens, kIn}, 5);
      x[2][17] = std::nan("");
      const at::NoGradGuard no_grad;
      CHECK_FALSE(linear(x, context).isfinite().all().item<bool>());
    }
  }
}

TEST_CASE("every method is the same on a strided input", "[quant]") {
  for (const auto& [name, spec] : methods()) {
    INFO(name);
    QuantContext context = context_of(spec);
    const at::Tensor x = normal({kTokens, kIn}, 5);
    CHECK(test::same_bits(quantize_input(x.t().contiguous().t(), spec).contiguous(),
                          quantize_input(x, spec).contiguous()));
  }
}

}  // namespace
}  // namespace setun
