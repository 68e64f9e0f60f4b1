// Every field of a spec changes what it says: a test that fails when the field is ignored.
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

at::Tensor weight_value(const WeightQuantSpec& spec) {
  return quantize_weight(normal({8, 16}, 1), spec).value;
}

TEST_CASE("weight.granularity and weight.group_size decide what shares a scale", "[quant]") {
  WeightQuantSpec row = kWeight, group = kWeight, narrow = kWeight;
  row.granularity = Granularity::kRow;
  group.granularity = narrow.granularity = Granularity::kGroup;
  group.group_size = 8;
  narrow.group_size = 4;
  const at::Tensor w = normal({8, 16}, 1);
  CHECK(quantize_weight(w, kWeight).scale.numel() == 1);
  CHECK(quantize_weight(w, row).scale.numel() == 8);
  CHECK(quantize_weight(w, group).scale.numel() == 16);
  CHECK(quantize_weight(w, narrow).scale.numel() == 32);
  CHECK_FALSE(same_bits(weight_value(row), weight_value(kWeight)));
  CHECK_FALSE(same_bits(weight_value(group), weight_value(row)));
}

TEST_CASE("weight.eps is the smallest scale", "[quant]") {
  WeightQuantSpec spec = kWeight;
  spec.eps = 10;
  CHECK(quantize_weight(normal({8, 16}, 1), spec).scale.item<double>() == 10);
}

TEST_CASE("activation.scheme none is the input itself", "[quant]") {
  const at::Tensor x = normal({2, 8}, 1);
  CHECK(fake_quantize_activation(x, ActivationQuantSpec{}).is_same(x));
  CHECK_FALSE(same_bits(fake_quantize_activation(x, kActivation), x));
}

TEST_CASE("activation.bits decides the number of levels", "[quant]") {
  const at::Tensor x = normal({1, 4000}, 1);
  for (const int64_t bits : {2, 4, 8}) {
    ActivationQuantSpec spec = kActivation;
    spec.bits = bits;
    const at::Tensor codes = ops::quantize_absmax(x, bits, spec.eps).codes;
    CHECK(
        same_bits(fake_quantize_activation(x, spec),
                  ops::dequantize_absmax({codes, ops::quantize_absmax(x, bits, spec.eps).scale})));
    CHECK(codes.abs().max().item<int>() == (1 << (bits - 1)) - 1);
  }
}

TEST_CASE("activation.eps is the smallest absolute maximum", "[quant]") {
  ActivationQuantSpec spec = kActivation;
  spec.eps = 100;
  CHECK(fake_quantize_activation(normal({2, 8}, 1).mul(0.1), spec).eq(0).all().item<bool>());
}

TEST_CASE("activation clip share follows the bits", "[quant]") {
  const at::Tensor x = normal({64, 64}, 1);
  ActivationQuantSpec two = kActivation;
  two.bits = 2;
  CHECK(activation_clip_share(x, two) > 4 * activation_clip_share(x, kActivation));
  CHECK(activation_clip_share(x, ActivationQuantSpec{}) == 0);
}

}  // namespace
}  // namespace setun
