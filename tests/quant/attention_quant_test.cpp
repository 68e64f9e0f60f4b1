// quant/attention_quant.h: every option of quant.attention on one tensor of heads, and from which
// step the context hands it out.
#include "quant/attention_quant.h"

#include <ATen/ATen.h>

#include "ops/ops.h"
#include "quant/quant_context.h"
#include "quant/tensors.h"
#include "support/catch.h"

namespace setun {
namespace {

using test::normal;
using test::same_bits;

// [B, heads, T, head_dim] as attention has it: a transposed view of what a projection left.
at::Tensor heads(int64_t seed = 1) { return normal({2, 7, 3, 10}, seed).transpose(1, 2); }

at::Tensor first_of(std::vector<int64_t> rows) {  // [B, T] of true at each row's position
  at::Tensor first = at::zeros({static_cast<int64_t>(rows.size()), 7}, at::kBool);
  for (std::size_t row = 0; row < rows.size(); ++row) {
    first[static_cast<int64_t>(row)][rows[row]] = true;
  }
  return first;
}

const at::Tensor kNone;

TEST_CASE("bits decide the grid, the scheme its shape", "[quant]") {
  const at::Tensor x = heads();
  for (const int64_t bits : {2, 3, 4, 8}) {
    CHECK(same_bits(fake_quantize_heads(x, bits, kNone, {}), ops::fake_quantize_kv(x, bits, 1e-5)));
    CHECK(same_bits(fake_quantize_heads(x, bits, kNone, {.scheme = HeadScheme::kAsymmetric}),
                    ops::fake_quantize_kv_asymmetric(x, bits, 1e-5)));
  }
  const at::Tensor three = fake_quantize_heads(x, 3, kNone, {});
  CHECK_FALSE(same_bits(three, fake_quantize_heads(x, 4, kNone, {})));
  CHECK_FALSE(
      same_bits(three, fake_quantize_heads(x, 3, kNone, {.scheme = HeadScheme::kAsymmetric})));
}

TEST_CASE("without bits it is the very same tensor, first token or not", "[quant]") {
  const at::Tensor x = heads();
  CHECK(fake_quantize_heads(x, 0, kNone, {}).is_same(x));
  CHECK(fake_quantize_heads(x, 0, first_of({0}), {.first_token_bits = 2}).is_same(x));
}

TEST_CASE("eps is the smallest absolute maximum or range of a head", "[quant]") {
  const at::Tensor x = heads().mul(0.01);
  CHECK(fake_quantize_heads(x, 4, kNone, {.eps = 100}).eq(0).all().item<bool>());
  // All codes are 0, so that a head is its minimum.
  const at::Tensor flat =
      fake_quantize_heads(x, 4, kNone, {.scheme = HeadScheme::kAsymmetric, .eps = 100});
  CHECK(at::allclose(flat, x.amin(-1, true).expand_as(x)));
}

TEST_CASE("first tokens take their own bits, or none, wherever they stand", "[quant]") {
  const at::Tensor x = heads();
  const std::vector<std::vector<int64_t>> places = {{0}, {0, 0}, {2, 6}};
  for (const HeadScheme scheme : {HeadScheme::kSymmetric, HeadScheme::kAsymmetric}) {
    for (const int64_t first_bits : {0, 4, 8}) {
      for (const auto& place : places) {
        const AttentionQuantOptions options{.first_token_bits = first_bits, .scheme = scheme};
        const at::Tensor got = fake_quantize_heads(x, 3, first_of(place), options);
        const at::Tensor others = fake_quantize_heads(x, 3, kNone, options);
        const at::Tensor exempt = fake_quantize_heads(x, first_bits, kNone, options);
        for (int64_t row = 0; row < 2; ++row) {
          const int64_t first = place[place.size() == 1 ? 0 : static_cast<std::size_t>(row)];
          for (int64_t t = 0; t < 7; ++t) {
            CHECK(
                same_bits(got[row].select(1, t), (t == first ? exempt : others)[row].select(1, t)));
          }
        }
      }
    }
  }
}

TEST_CASE("codes do not depend on how a sequence is cut into calls", "[quant]") {
  const at::Tensor x = heads();
  const at::Tensor whole = fake_quantize_heads(x, 4, first_of({0}), {});
  const at::Tensor begin =
      fake_quantize_heads(x.narrow(2, 0, 4), 4, first_of({0}).narrow(1, 0, 4), {});
  CHECK(same_bits(begin, whole.narrow(2, 0, 4)));
  for (int64_t t = 4; t < 7; ++t) {
    CHECK(same_bits(fake_quantize_heads(x.narrow(2, t, 1), 4, kNone, {}), whole.narrow(2, t, 1)));
  }
}

TEST_CASE("the derivative is the identity, exempt or not, clipped or not", "[quant]") {
  for (const HeadScheme scheme : {HeadScheme::kSymmetric, HeadScheme::kAsymmetric}) {
    for (const int64_t first_bits : {0, 8}) {
      const at::Tensor x = heads().clone().requires_grad_(), upstream = heads(2);
      fake_quantize_heads(x, 2, first_of({0}), {.first_token_bits = first_bits, .scheme = scheme})
          .backward(upstream);
      CHECK(same_bits(x.grad(), upstream));
    }
  }
}

TEST_CASE("bf16 heads get the codes of the same values in fp32", "[quant]") {
  const at::Tensor narrow = heads().to(at::kBFloat16);
  for (const HeadScheme scheme : {HeadScheme::kSymmetric, HeadScheme::kAsymmetric}) {
    const AttentionQuantOptions options{.scheme = scheme};
    CHECK(same_bits(
        fake_quantize_heads(narrow, 3, first_of({0}), options),
        fake_quantize_heads(narrow.to(at::kFloat), 3, first_of({0}), options).to(at::kBFloat16)));
  }
}

TEST_CASE("the context quantizes attention from the plan's step on and not before", "[quant]") {
  QuantOptions options;
  options.attention = {.key_bits = 4, .from = StepPoint::fraction(0.25)};
  Errors errors;
  QuantContext context(resolve_quant_plan(options, {{"layer", Role::kQkv, 0, 8, 16}}, 40, errors));
  REQUIRE(errors.empty());
  CHECK(context.plan().attention_from == 10);
  for (const int64_t step : {0, 9, 10, 39, 3}) {
    context.begin_step({.step = step});
    CHECK(context.attention() == (step >= 10 ? options.attention : AttentionQuantOptions{}));
  }
}

}  // namespace
}  // namespace setun
