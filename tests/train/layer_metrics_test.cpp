// Layer metrics against counts by hand; a resumed run logs the same flip rates.
#include "train/layer_metrics.h"

#include <ATen/ops/full.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include "base/error.h"
#include "train/helpers.h"

namespace setun {
namespace {

using Catch::Matchers::Contains;

at::Tensor codes_of(const std::vector<int8_t>& values) {
  at::Tensor codes = at::zeros({static_cast<int64_t>(values.size())}, at::kChar);
  std::copy(values.begin(), values.end(), codes.mutable_data_ptr<int8_t>());
  return codes;
}

// Deterministic ternary codes; `salt` changes about two thirds of them.
std::vector<int8_t> pattern(std::size_t count, uint32_t salt) {
  std::vector<int8_t> values(count);
  uint32_t state = salt;
  for (int8_t& value : values) {
    state = state * 1664525U + 1013904223U;
    value = static_cast<int8_t>(static_cast<int>(state >> 16) % 3 - 1);
  }
  return values;
}

TEST_CASE("flips and shares of codes are counted exactly at every length", "[layer_metrics]") {
  for (std::size_t count = 0; count < 40; ++count) {
    const std::vector<int8_t> a = pattern(count, 1), b = pattern(count, 2);
    int64_t flips = 0;
    std::array<int64_t, 3> counts{};
    for (std::size_t i = 0; i < count; ++i) {
      flips += a[i] != b[i] ? 1 : 0;
      ++counts[static_cast<std::size_t>(a[i] + 1)];
    }
    const at::Tensor packed = pack_codes(codes_of(a));
    CHECK(packed.numel() == static_cast<int64_t>((count + 3) / 4));
    CHECK(count_flips(packed, pack_codes(codes_of(b))) == flips);
    CHECK(count_flips(packed, packed) == 0);
    CHECK(count_codes(codes_of(a)) == counts);
  }
}

TEST_CASE("every pair of different codes is one flip", "[layer_metrics]") {
  for (const int a : {-1, 0, 1}) {
    for (const int b : {-1, 0, 1}) {
      const auto pack = [](int code) { return pack_codes(codes_of({static_cast<int8_t>(code)})); };
      CHECK(count_flips(pack(a), pack(b)) == (a == b ? 0 : 1));
    }
  }
}

// Two linear layers [2, 4]: the first ternary with 8-bit activations, the second full precision.
struct Fixture {
  Fixture() {
    LinearSpec ternary;
    ternary.weight.scheme = WeightScheme::kAbsmean;
    ternary.activation.scheme = ActivationScheme::kAbsmax;
    QuantPlan plan;
    plan.layers = {{"first", Role::kQkv, 0, 2, 4}, {"second", Role::kHead, -1, 2, 4}};
    plan.phases = {{0, 0, {ternary, LinearSpec{}}}};
    context = std::make_unique<QuantContext>(plan);
    context->begin_step({});
    for (int64_t i = 0; i < 2; ++i) {
      linears.push_back(
          {plan.layers[static_cast<std::size_t>(i)].name,
           BitLinear(BitLinearOptions{.in_features = 4, .out_features = 2, .layer = i})});
    }
    set_weights({1, 1, 1, 1, -1, -1, 0, 0});
  }
  void set_weights(const std::vector<double>& values) {
    const at::NoGradGuard no_grad;
    linears[0].linear->weight.copy_(at::tensor(values).reshape({2, 4}));
    context->invalidate();
  }
  LayerMetrics metrics() const { return LayerMetrics(context->plan().layers); }

  std::unique_ptr<QuantContext> context;
  std::vector<NamedLinear> linears;
};

TEST_CASE_METHOD(Fixture, "a record holds what is true of the layer", "[layer_metrics]") {
  linears[0].linear->weight.mutable_grad() = at::full({2, 4}, 3.0F);
  context->collect_input_health(true);
  context->activation(0, at::ones_like(linears[0].linear->weight));
  LayerMetrics layer_metrics = metrics();
  const std::vector<LayerRecord> records = layer_metrics.measure(*context, linears, 0.5);
  REQUIRE(records.size() == 2);
  // mean |w| = 0.75, so codes are the weights themselves.
  CHECK(records[0].layer == "first");
  CHECK(records[0].minus == 0.25);
  CHECK(records[0].zero == 0.25);
  CHECK(records[0].plus == 0.5);
  CHECK(records[0].scale == 0.75);
  CHECK_FALSE(records[0].flip_rate.has_value());
  CHECK(records[0].input_zeros == 0.0);
  CHECK(records[0].clip_share == 1.0);  // equal activations all stand at the end of the range
  CHECK(records[0].grad_norm ==
        Approx(0.5 * 3 * std::sqrt(8.0)).epsilon(1e-6));  // clipped; fp32 norm of 8 numbers

  CHECK(records[1].layer == "second");
  for (const auto& absent : {records[1].minus, records[1].zero, records[1].plus, records[1].scale,
                             records[1].flip_rate, records[1].clip_share, records[1].grad_norm}) {
    CHECK_FALSE(absent.has_value());
  }
}

TEST_CASE_METHOD(Fixture, "the flip rate counts from the last record, also after a resume",
                 "[layer_metrics]") {
  LayerMetrics layer_metrics = metrics();
  layer_metrics.measure(*context, linears, 0.5);
  const std::vector<NamedTensor> saved = layer_metrics.state();
  REQUIRE(saved.size() == 1);
  CHECK(saved[0].name == "codes.first");

  set_weights({1, 1, 1, -1, -1, -1, 0, 1});  // two of eight codes differ
  CHECK(layer_metrics.measure(*context, linears, 0.5)[0].flip_rate == 0.25);
  CHECK(layer_metrics.measure(*context, linears, 0.5)[0].flip_rate == 0.0);
  // The saved codes are those of the first record: later records do not reach into a checkpoint
  // being written.
  LayerMetrics resumed = metrics();
  resumed.restore(saved);
  CHECK(resumed.measure(*context, linears, 0.5)[0].flip_rate == 0.25);
}

TEST_CASE_METHOD(Fixture, "codes of another model are refused by name", "[layer_metrics]") {
  LayerMetrics layer_metrics = metrics();
  CHECK_THROWS_WITH(layer_metrics.restore({{"codes.third", at::zeros({2}, at::kByte)}}),
                    Contains("codes.third belongs to no layer"));
  CHECK_THROWS_WITH(layer_metrics.restore({{"codes.first", at::zeros({3}, at::kByte)}}),
                    Contains("codes.first has 3 elements, expected 2"));
}

}  // namespace
}  // namespace setun
