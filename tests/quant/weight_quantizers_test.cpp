// Weight quantizers with a scale for the tensor, a row or a group: every path, thread count, layout
// and input type gives the bits of the plain reference.
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <functional>
#include <limits>

#include "base/counter_rng.h"
#include "ops/cpu/reference.h"
#include "ops/ops.h"
#include "quant/tensors.h"
#include "support/catch.h"

namespace setun {
namespace {

using test::kWidths;
using test::normal;
using test::on_every_path;
using test::row_of;
using test::same_bits;

constexpr double kEps = 1e-5;

at::Tensor draws_for(const at::Tensor& w) {
  return ops::counter_uniform(w.numel(), 7).view(w.sizes());
}

struct WeightQuantizer {
  std::string name;
  std::function<ops::Codes(const at::Tensor& w, int64_t group)> quantize;
  // One scale group, with the draws of its elements.
  std::function<ops::reference::Row(const std::vector<float>& w, const std::vector<float>& u)>
      reference;
};

std::vector<WeightQuantizer> quantizers() {
  using Values = const std::vector<float>&;
  return {
      {"absmean", [](const at::Tensor& w, int64_t g) { return ops::quantize_absmean(w, g, kEps); },
       [](Values w, Values) { return ops::reference::quantize_absmean(w, kEps); }},
      {"absmedian",
       [](const at::Tensor& w, int64_t g) { return ops::quantize_absmedian(w, g, kEps); },
       [](Values w, Values) { return ops::reference::quantize_absmedian(w, kEps); }},
      {"binary", [](const at::Tensor& w, int64_t g) { return ops::quantize_binary(w, g); },
       [](Values w, Values) { return ops::reference::quantize_binary(w); }},
      {"stochastic",
       [](const at::Tensor& w, int64_t g) {
         return ops::quantize_absmean_stochastic(w, draws_for(w), g, kEps);
       },
       [](Values w, Values u) { return ops::reference::quantize_absmean_stochastic(w, u, kEps); }},
  };
}

void check_against_reference(const WeightQuantizer& quantizer, const at::Tensor& w, int64_t group) {
  const ops::Codes q = quantizer.quantize(w, group);
  REQUIRE(q.codes.sizes() == w.sizes());
  const at::Tensor value = ops::dequantize_absmean(q), draws = draws_for(w);
  const std::vector<int64_t> shape = {-1, group == 0 ? w.numel() : group};
  const at::Tensor rows = w.reshape(shape), u = draws.reshape(shape);
  const at::Tensor codes = q.codes.view(shape), values = value.view(shape);
  for (int64_t row = 0; row < rows.size(0); ++row) {
    const ops::reference::Row wanted = quantizer.reference(row_of(rows, row), row_of(u, row));
    CHECK(q.scale.view({-1})[row].item<float>() == wanted.scale);
    const at::Tensor got = codes[row].contiguous(), got_value = values[row].contiguous();
    CHECK(std::equal(wanted.codes.begin(), wanted.codes.end(), got.const_data_ptr<int8_t>()));
    CHECK(std::equal(wanted.value.begin(), wanted.value.end(), got_value.const_data_ptr<float>()));
  }
}

TEST_CASE(
    "weight quantizers equal their references bit for bit: tensor, row and group, every path and "
    "thread count",
    "[quant]") {
  for (const WeightQuantizer& quantizer : quantizers()) {
    for (const int64_t width : kWidths) {
      INFO(quantizer.name << ", width " << width);
      const at::Tensor w = normal({5, width}, width).mul(0.02);
      on_every_path([&] {
        check_against_reference(quantizer, w, 0);
        check_against_reference(quantizer, w, width);
      });
    }
    INFO(quantizer.name);
    on_every_path([&] { check_against_reference(quantizer, normal({6, 384}, 3), 128); });
    check_against_reference(quantizer, at::zeros({4, 8}), 0);
    check_against_reference(quantizer, at::zeros({4, 8}), 8);
    check_against_reference(quantizer, normal({1, 1}, 4), 0);
    check_against_reference(quantizer, normal({4, 8}, 1).mul(1e30), 0);
    check_against_reference(quantizer, normal({4, 8}, 1).mul(1e-30), 8);
  }
}

TEST_CASE("weight quantizers: layout and input type do not change codes", "[quant]") {
  const at::Tensor w = normal({64, 48}, 5);
  for (const WeightQuantizer& quantizer : quantizers()) {
    INFO(quantizer.name);
    for (const int64_t group : {0, 48, 16}) {
      const ops::Codes wanted = quantizer.quantize(w, group);
      for (const at::Tensor& view :
           {w.t().contiguous().t(), at::empty({64, 96}).narrow(1, 0, 48).copy_(w)}) {
        REQUIRE_FALSE(view.is_contiguous());
        CHECK(same_bits(quantizer.quantize(view, group).codes, wanted.codes));
        CHECK(same_bits(quantizer.quantize(view, group).scale, wanted.scale));
      }
      for (const at::ScalarType type : {at::kBFloat16, at::kHalf}) {
        const at::Tensor low = w.to(type);
        CHECK(same_bits(quantizer.quantize(low, group).codes,
                        quantizer.quantize(low.to(at::kFloat), group).codes));
      }
    }
  }
}

TEST_CASE("weight quantizers: a value that is not finite makes the scale NaN and the codes 0",
          "[quant]") {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const WeightQuantizer& quantizer : quantizers()) {
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), kInfinity, -kInfinity}) {
      for (const int64_t at : {0, 33, 99}) {
        INFO(quantizer.name << ", " << bad << " at " << at);
        at::Tensor w = normal({2, 100}, 1);
        w[1][at] = bad;
        on_every_path([&] {
          const ops::Codes whole = quantizer.quantize(w, 0), rows = quantizer.quantize(w, 100);
          CHECK(std::isnan(whole.scale.item<float>()));
          CHECK(whole.codes.eq(0).all().item<bool>());
          CHECK(std::isfinite(rows.scale[0].item<float>()));
          CHECK(std::isnan(rows.scale[1].item<float>()));
          CHECK(rows.codes[1].eq(0).all().item<bool>());
        });
      }
    }
  }
}

double share(const at::Tensor& codes, int code) {
  return codes.eq(code).to(at::kFloat).mean().item<double>();
}

TEST_CASE("normal weights: 31.0 % zeros by the mean, 26.4 % by the median, half of each sign",
          "[quant]") {
  const at::Tensor w = normal({1024, 1024}, 1).mul(0.02);  // a share of 1M draws is within +-0.0005
  CHECK(share(ops::quantize_absmean(w, 0, kEps).codes, 0) == Approx(0.3101).margin(0.002));
  CHECK(share(ops::quantize_absmedian(w, 0, kEps).codes, 0) == Approx(0.2641).margin(0.002));
  const at::Tensor binary =
      ops::quantize_binary(w.add(0.5), 0).codes;  // centred, so the shift is gone
  CHECK(share(binary, 0) == 0);
  CHECK(share(binary, 1) == Approx(0.5).margin(0.002));
}

TEST_CASE("stochastic ternary codes are |w| / a in the mean", "[quant]") {
  const at::Tensor w = at::tensor({0.3F, -0.6F, 0.9F, 0.0F, 2.0F}).div(0.76F).unsqueeze(1);
  const at::Tensor wide = w.expand({5, 200000}).contiguous();  // mean |w| is 1: a = 1
  const ops::Codes q = ops::quantize_absmean_stochastic(wide, draws_for(wide), 0, kEps);
  CHECK(q.scale.item<double>() == Approx(1).epsilon(1e-5));
  for (int64_t row = 0; row < 5; ++row) {
    const double mean = q.codes[row].to(at::kFloat).mean().item<double>();
    const double wanted = std::clamp(w[row][0].item<double>(), -1.0, 1.0);
    CHECK(mean == Approx(wanted).margin(0.005));  // sigma 0.0011
  }
}

TEST_CASE("counter_uniform: 24 bits of the counter's stream, whatever the number of threads",
          "[quant]") {
  std::vector<at::Tensor> all;
  on_every_path([&] { all.push_back(ops::counter_uniform(100000, -5)); });
  for (const at::Tensor& draws : all) {
    CHECK(same_bits(draws, all[0]));
  }
  for (const int64_t i : {0, 1, 99999}) {
    const uint64_t bits = random_bits(static_cast<uint64_t>(-5), static_cast<uint64_t>(i)) >> 40;
    CHECK(all[0][i].item<double>() == static_cast<double>(bits) / 16777216.0);
  }
  CHECK(all[0].min().item<float>() >= 0);
  CHECK(all[0].max().item<float>() < 1);
  CHECK(all[0].mean().item<double>() == Approx(0.5).margin(0.004));
  CHECK_FALSE(same_bits(all[0], ops::counter_uniform(100000, -6)));
  CHECK(ops::counter_uniform(0, 1).numel() == 0);
  CHECK_THROWS_WITH(ops::counter_uniform(-1, 1), Catch::Matchers::Contains("must not be negative"));
}

TEST_CASE("weight quantizers: Meta shapes, refused arguments", "[quant]") {
  using Catch::Matchers::Contains;
  const at::Tensor w = normal({6, 8}, 2), u = draws_for(w);
  for (const int64_t group : {0, 4, 8}) {
    const at::Tensor wm = w.to(at::kMeta);
    for (const auto& [got, wanted] :
         {std::pair(ops::quantize_absmedian(wm, group, kEps),
                    ops::quantize_absmedian(w, group, kEps)),
          std::pair(ops::quantize_binary(wm, group), ops::quantize_binary(w, group)),
          std::pair(ops::quantize_absmean_stochastic(wm, u.to(at::kMeta), group, kEps),
                    ops::quantize_absmean_stochastic(w, u, group, kEps))}) {
      CHECK(test::alike(got.codes, wanted.codes));
      CHECK(test::alike(got.scale, wanted.scale));
    }
  }
  CHECK_THROWS_WITH(ops::quantize_binary(w, 3),
                    Contains("group 3 does not divide the 8 input columns"));
  CHECK_THROWS_WITH(ops::quantize_absmedian(w, 0, -1), Contains("eps must be positive"));
  CHECK_THROWS_WITH(ops::quantize_binary(w[0], 0), Contains("expected a weight [out, in]"));
  CHECK_THROWS_WITH(ops::quantize_binary(at::empty({0, 8}), 0),
                    Contains("the weight has no element"));
  CHECK_THROWS_WITH(ops::quantize_absmean_stochastic(w, u[0], 0, kEps),
                    Contains("expected fp32 draws of the weight's shape [6, 8]"));
}

}  // namespace
}  // namespace setun
