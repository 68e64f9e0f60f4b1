// Every field of a spec changes what it says: a test that fails when the field is ignored.
#include <ATen/ATen.h>

#include <cmath>

#include "ops/ops.h"
#include "quant/fake_quantize.h"
#include "quant/tensors.h"
#include "support/catch.h"

namespace setun {
namespace {

using test::normal;
using test::same_bits;

const WeightQuantSpec kWeight{.scheme = WeightScheme::kAbsmean};
const ActivationQuantSpec kActivation{.scheme = ActivationScheme::kAbsmax};

QuantizedWeight quantized(const at::Tensor& w, const WeightQuantSpec& spec, uint64_t key = 0) {
  return quantize_weight(w, {.weight = spec}, key);
}

at::Tensor weight_value(const WeightQuantSpec& spec) {
  return quantized(normal({8, 16}, 1), spec).value;
}

at::Tensor input(const at::Tensor& x, const ActivationQuantSpec& spec) {
  return quantize_input(x, {.activation = spec});
}

TEST_CASE("weight.granularity and weight.group_size decide what shares a scale", "[quant]") {
  WeightQuantSpec row = kWeight, group = kWeight, narrow = kWeight;
  row.granularity = Granularity::kRow;
  group.granularity = narrow.granularity = Granularity::kGroup;
  group.group_size = 8;
  narrow.group_size = 4;
  const at::Tensor w = normal({8, 16}, 1);
  CHECK(quantized(w, kWeight).scale.numel() == 1);
  CHECK(quantized(w, row).scale.numel() == 8);
  CHECK(quantized(w, group).scale.numel() == 16);
  CHECK(quantized(w, narrow).scale.numel() == 32);
  CHECK_FALSE(same_bits(weight_value(row), weight_value(kWeight)));
  CHECK_FALSE(same_bits(weight_value(group), weight_value(row)));
}

TEST_CASE("weight.eps is the smallest scale", "[quant]") {
  WeightQuantSpec spec = kWeight;
  spec.eps = 10;
  CHECK(quantized(normal({8, 16}, 1), spec).scale.item<double>() == 10);
}

TEST_CASE("activation.scheme none is the input itself", "[quant]") {
  const at::Tensor x = normal({2, 8}, 1);
  CHECK(input(x, ActivationQuantSpec{}).is_same(x));
  CHECK_FALSE(same_bits(input(x, kActivation), x));
}

TEST_CASE("activation.bits decides the number of levels", "[quant]") {
  const at::Tensor x = normal({1, 4000}, 1);
  for (const int64_t bits : {2, 4, 8}) {
    ActivationQuantSpec spec = kActivation;
    spec.bits = bits;
    const at::Tensor codes = ops::quantize_absmax(x, bits, spec.eps).codes;
    CHECK(same_bits(input(x, spec), ops::dequantize_absmax(
                                        {codes, ops::quantize_absmax(x, bits, spec.eps).scale})));
    CHECK(codes.abs().max().item<int>() == (1 << (bits - 1)) - 1);
  }
}

TEST_CASE("activation.eps is the smallest absolute maximum", "[quant]") {
  ActivationQuantSpec spec = kActivation;
  spec.eps = 100;
  CHECK(input(normal({2, 8}, 1).mul(0.1), spec).eq(0).all().item<bool>());
}

TEST_CASE("the clip share follows the bits", "[quant]") {
  const at::Tensor x = normal({64, 64}, 1);
  const auto clip_share = [&](const ActivationQuantSpec& spec) {
    return input_health(x, input(x, spec), {.activation = spec}).clip_share;
  };
  ActivationQuantSpec two = kActivation;
  two.bits = 2;
  CHECK(clip_share(two).value() > 4 * clip_share(kActivation).value());
  CHECK_FALSE(clip_share({.scheme = ActivationScheme::kB1}).has_value());
}

TEST_CASE("weight.scheme decides statistic and levels", "[quant]") {
  const at::Tensor w = normal({64, 64}, 1).add(0.1);
  WeightQuantSpec median = kWeight, binary = kWeight;
  median.scheme = WeightScheme::kAbsmedian;
  binary.scheme = WeightScheme::kBinary;
  const double zeros = quantized(w, kWeight).codes.eq(0).sum().item<double>();
  CHECK(quantized(w, median).codes.eq(0).sum().item<double>() < 0.9 * zeros);
  CHECK(quantized(w, binary).codes.ne(0).all().item<bool>());
  // Centred: half the codes are +1 although the mean is not 0.
  CHECK(std::abs(quantized(w, binary).codes.sum().item<double>()) < 200);
}

TEST_CASE("weight.parts and weight.parts_axis decide which entries share a scale", "[quant]") {
  const at::Tensor w = normal({8, 16}, 1);
  WeightQuantSpec spec = kWeight;
  spec.granularity = Granularity::kPart;
  spec.parts = 4;
  const QuantizedWeight rows = quantized(w, spec);
  CHECK(rows.scale.sizes() == at::IntArrayRef({4, 1}));
  CHECK(same_bits(rows.value.narrow(0, 2, 2), quantized(w.narrow(0, 2, 2), kWeight).value));
  spec.parts_axis = PartAxis::kColumns;
  const QuantizedWeight columns = quantized(w, spec);
  CHECK(same_bits(columns.value.narrow(1, 4, 4),
                  quantized(w.narrow(1, 4, 4).contiguous(), kWeight).value));
  CHECK(same_bits(columns.codes.narrow(1, 4, 4),
                  quantized(w.narrow(1, 4, 4).contiguous(), kWeight).codes));
}

TEST_CASE("weight.rounding stochastic draws from the key, and is unbiased within the range",
          "[quant]") {
  WeightQuantSpec spec = kWeight;
  spec.rounding = Rounding::kStochastic;
  const at::Tensor w = normal({32, 32}, 1);
  CHECK(same_bits(quantized(w, spec, 7).codes, quantized(w, spec, 7).codes));
  CHECK_FALSE(same_bits(quantized(w, spec, 7).codes, quantized(w, spec, 8).codes));
  at::Tensor mean = at::zeros_like(w);
  constexpr int kDraws = 400;
  for (int key = 0; key < kDraws; ++key) {
    mean.add_(quantized(w, spec, static_cast<uint64_t>(key)).value, 1.0 / kDraws);
  }
  const double scale = quantized(w, spec, 0).scale.item<double>();
  // Five standard errors of a Bernoulli mean of 400 draws, 0.5 scale / sqrt(400) each at most.
  CHECK(mean.sub(w.clamp(-scale, scale)).abs().max().item<double>() < 5 * scale * 0.5 / 20);
}

TEST_CASE("weight.blend stands between the latent and its quantized value", "[quant]") {
  const at::Tensor w = normal({8, 16}, 1);
  WeightQuantSpec half = kWeight;
  half.blend = 0.25;
  const at::Tensor expected = w + 0.25 * (quantized(w, kWeight).value - w);
  CHECK(at::allclose(quantized(w, half).value, expected, 1e-6, 1e-6));
  CHECK(same_bits(quantized(w, half).codes, quantized(w, kWeight).codes));
}

TEST_CASE("activation.granularity tensor shares one scale", "[quant]") {
  const at::Tensor x = normal({4, 32}, 1);
  for (const ActivationScheme scheme : {ActivationScheme::kAbsmax, ActivationScheme::kB1}) {
    ActivationQuantSpec whole{.scheme = scheme, .bits = 4, .granularity = Granularity::kTensor};
    ActivationQuantSpec token{.scheme = scheme, .bits = 4};
    CHECK_FALSE(same_bits(input(x, whole), input(x, token)));
  }
  ActivationQuantSpec whole = kActivation;
  whole.granularity = Granularity::kTensor;
  CHECK(same_bits(input(x, whole), input(x.view({1, -1}), kActivation).view({4, 32})));
}

TEST_CASE("activation.multiplier widens absmean's range", "[quant]") {
  const at::Tensor x = normal({16, 256}, 1);
  ActivationQuantSpec one{.scheme = ActivationScheme::kAbsmean, .bits = 4}, two = one;
  two.multiplier = 2;
  CHECK(input(x, two).abs().max().item<double>() > input(x, one).abs().max().item<double>());
}

TEST_CASE("sparsity: kind, keep, n, m, rescale and gradient", "[quant]") {
  const at::Tensor x = normal({4, 64}, 1);
  const auto kept = [](const at::Tensor& y) { return y.ne(0).sum().item<int64_t>(); };
  LinearSpec spec{.sparsity = {.kind = SparsityKind::kTopk, .keep = 0.25}};
  CHECK(kept(quantize_input(x, spec)) == 4 * 16);
  spec.sparsity.keep = 0.75;
  CHECK(kept(quantize_input(x, spec)) == 4 * 48);
  spec.sparsity = {.kind = SparsityKind::kNm, .n = 2, .m = 8};
  CHECK(kept(quantize_input(x, spec)) == 4 * 16);
  CHECK((quantize_input(x, spec).view({-1, 8}).ne(0).sum(1) == 2).all().item<bool>());
  spec.sparsity.m = 16;
  CHECK(kept(quantize_input(x, spec)) == 4 * 8);
  spec.sparsity.n = 3;
  CHECK(kept(quantize_input(x, spec)) == 4 * 12);
  spec.sparsity.rescale = Rescale::kL2;
  CHECK(at::allclose(quantize_input(x, spec).norm(2, {1}), x.norm(2, {1})));

  for (const bool masked : {false, true}) {
    spec.sparsity.rescale = Rescale::kNone;
    spec.sparsity.gradient = masked ? SparsityGradient::kMasked : SparsityGradient::kSte;
    const at::Tensor leaf = x.clone().requires_grad_();
    const at::Tensor y = quantize_input(leaf, spec);
    y.backward(at::ones_like(x));
    CHECK(kept(leaf.grad()) == (masked ? 4 * 12 : 4 * 64));
  }
}

TEST_CASE("rotation: kind, block, signs, seed and of", "[quant]") {
  const at::Tensor x = normal({4, 192}, 1), w = normal({8, 192}, 2);
  LinearSpec spec{.rotation = {.kind = RotationKind::kHadamard}};
  const at::Tensor rotated = quantize_input(x, spec);
  CHECK(same_bits(rotated, ops::hadamard(x, 64)));
  CHECK_FALSE(spec.changes_weight());
  LinearSpec small = spec, with_signs = spec, other_seed = spec, both = spec;
  small.rotation.block = 32;
  with_signs.rotation.signs = other_seed.rotation.signs = both.rotation.signs = true;
  other_seed.rotation.seed = 2;
  both.rotation.of = Rotated::kBoth;
  CHECK_FALSE(same_bits(quantize_input(x, small), rotated));
  CHECK_FALSE(same_bits(quantize_input(x, with_signs), rotated));
  CHECK_FALSE(same_bits(quantize_input(x, with_signs), quantize_input(x, other_seed)));
  // Rotating both operands leaves their product.
  const at::Tensor product =
      at::matmul(quantize_input(x, both), quantize_weight(w, both, 0).value.t());
  CHECK(at::allclose(product, at::matmul(x, w.t()), 1e-4, 1e-4));
}

}  // namespace
}  // namespace setun
