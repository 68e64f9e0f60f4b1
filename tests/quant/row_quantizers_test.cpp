// Quantizers with one scale a token or vector: every path, thread count, layout and input type
// gives the bits of the plain reference, the one-pass form the bits of the codes' value.
#include <ATen/ops/empty.h>

#include <functional>
#include <limits>

#include "ops/cpu/reference.h"
#include "ops/ops.h"
#include "quant/tensors.h"
#include "support/catch.h"

namespace setun {
namespace {

using test::kWidths;
using test::nasty_rows;
using test::normal;
using test::on_every_path;
using test::row_of;
using test::same_bits;

constexpr double kEps = 1e-5;

// One quantizer: value = code * scale.
struct RowQuantizer {
  std::string name;
  std::function<ops::Codes(const at::Tensor&)> quantize;
  std::function<at::Tensor(const at::Tensor&)> fake;
  std::function<ops::reference::Row(const std::vector<float>&)> reference;
};

std::vector<RowQuantizer> quantizers() {
  std::vector<RowQuantizer> all;
  for (int64_t bits = 2; bits <= 8; ++bits) {
    all.push_back({"kv, " + std::to_string(bits) + " bits",
                   [bits](const at::Tensor& x) { return ops::quantize_kv(x, bits, kEps); },
                   [bits](const at::Tensor& x) { return ops::fake_quantize_kv(x, bits, kEps); },
                   [bits](const std::vector<float>& x) {
                     return ops::reference::quantize_kv(x, bits, kEps);
                   }});
  }
  for (const int64_t bits : {2, 4, 8}) {
    for (const double multiplier : {1.0, 2.0}) {
      all.push_back(
          {"absmean, " + std::to_string(bits) + " bits, times " + std::to_string(multiplier),
           [=](const at::Tensor& x) {
             return ops::quantize_act_absmean(x, bits, multiplier, kEps);
           },
           [=](const at::Tensor& x) {
             return ops::fake_quantize_act_absmean(x, bits, multiplier, kEps);
           },
           [=](const std::vector<float>& x) {
             return ops::reference::quantize_act_absmean(x, bits, multiplier, kEps);
           }});
    }
  }
  all.push_back({"fp4", ops::quantize_fp4, ops::fake_quantize_fp4, ops::reference::quantize_fp4});
  return all;
}

void check_against_reference(const RowQuantizer& quantizer, const at::Tensor& x) {
  const ops::Codes q = quantizer.quantize(x);
  REQUIRE(q.codes.sizes() == x.sizes());
  CHECK(same_bits(quantizer.fake(x), q.codes.to(at::kFloat).mul(q.scale).to(x.scalar_type())));
  const at::Tensor codes = q.codes.view({-1, x.size(-1)}), scale = q.scale.view({-1});
  for (int64_t row = 0; row < codes.size(0); ++row) {
    const ops::reference::Row wanted = quantizer.reference(row_of(x, row));
    const at::Tensor got = codes[row].contiguous();
    CHECK(std::equal(wanted.codes.begin(), wanted.codes.end(), got.const_data_ptr<int8_t>()));
    CHECK(scale[row].item<float>() == wanted.scale);
  }
}

TEST_CASE("row quantizers equal their references bit for bit on every path and thread count",
          "[quant]") {
  for (const RowQuantizer& quantizer : quantizers()) {
    for (const int64_t width : kWidths) {
      INFO(quantizer.name << ", width " << width);
      const at::Tensor x = nasty_rows(width);
      on_every_path([&] { check_against_reference(quantizer, x); });
    }
    check_against_reference(quantizer, normal({2, 3, 4, 16}, 1));
    CHECK(quantizer.quantize(at::empty({0, 5})).scale.sizes() == at::IntArrayRef({0, 1}));
  }
}

TEST_CASE("row quantizers: layout and input type do not change codes", "[quant]") {
  const at::Tensor x = normal({64, 48}, 5);
  const at::Tensor transposed = x.t().contiguous().t();
  const at::Tensor strided = at::empty({64, 96}).narrow(1, 0, 48).copy_(x);
  for (const RowQuantizer& quantizer : quantizers()) {
    INFO(quantizer.name);
    const ops::Codes wanted = quantizer.quantize(x);
    for (const at::Tensor& view : {transposed, strided}) {
      REQUIRE_FALSE(view.is_contiguous());
      const ops::Codes got = quantizer.quantize(view);
      CHECK(same_bits(got.codes, wanted.codes));
      CHECK(same_bits(got.scale, wanted.scale));
      CHECK(same_bits(quantizer.fake(view), quantizer.fake(x)));
    }
    for (const at::ScalarType type : {at::kBFloat16, at::kHalf}) {
      const at::Tensor low = x.to(type), wide = low.to(at::kFloat);
      CHECK(same_bits(quantizer.quantize(low).codes, quantizer.quantize(wide).codes));
      CHECK(same_bits(quantizer.fake(low), quantizer.fake(wide).to(type)));
    }
  }
}

TEST_CASE("row quantizers: a value that is not finite makes the scale NaN and the codes 0",
          "[quant]") {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const RowQuantizer& quantizer : quantizers()) {
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), kInfinity, -kInfinity}) {
      for (const int64_t at : {0, 33, 99}) {
        INFO(quantizer.name << ", " << bad << " at " << at);
        at::Tensor x = normal({2, 100}, 1);
        x[1][at] = bad;
        on_every_path([&] {
          const ops::Codes q = quantizer.quantize(x);
          CHECK(std::isfinite(q.scale[0].item<float>()));
          CHECK(std::isnan(q.scale[1].item<float>()));
          CHECK(q.codes[1].eq(0).all().item<bool>());
          CHECK(quantizer.fake(x)[0].isfinite().all().item<bool>());
          CHECK(quantizer.fake(x)[1].isnan().all().item<bool>());
        });
      }
    }
  }
}

TEST_CASE("row quantizers: Meta kernels agree on shapes and types", "[quant]") {
  for (const RowQuantizer& quantizer : quantizers()) {
    INFO(quantizer.name);
    const at::Tensor x = normal({3, 4, 8}, 1).to(at::kHalf);
    const ops::Codes got = quantizer.quantize(x.to(at::kMeta)), wanted = quantizer.quantize(x);
    CHECK(test::alike(got.codes, wanted.codes));
    CHECK(test::alike(got.scale, wanted.scale));
    CHECK(test::alike(quantizer.fake(x.to(at::kMeta)), quantizer.fake(x)));
  }
}

void check_asymmetric(const at::Tensor& x, int64_t bits) {
  const ops::OffsetCodes q = ops::quantize_kv_asymmetric(x, bits, kEps);
  const at::Tensor fake = ops::fake_quantize_kv_asymmetric(x, bits, kEps);
  CHECK(same_bits(fake, q.codes.to(at::kFloat).mul(q.scale).add(q.minimum).to(x.scalar_type())));
  const at::Tensor codes = q.codes.view({-1, x.size(-1)});
  for (int64_t row = 0; row < codes.size(0); ++row) {
    const auto wanted = ops::reference::quantize_kv_asymmetric(row_of(x, row), bits, kEps);
    const at::Tensor got = codes[row].contiguous();
    CHECK(std::equal(wanted.codes.begin(), wanted.codes.end(), got.const_data_ptr<uint8_t>()));
    CHECK(q.scale.view({-1})[row].item<float>() == wanted.scale);
    CHECK(q.minimum.view({-1})[row].item<float>() == wanted.minimum);
  }
}

TEST_CASE("asymmetric kv codes equal the reference bit for bit on every path and thread count",
          "[quant]") {
  for (const int64_t width : kWidths) {
    INFO("width " << width);
    at::Tensor x = nasty_rows(width);
    x[4].fill_(0.5);  // no range
    x[5].add_(7);     // far from zero
    on_every_path([&] { check_asymmetric(x, 4); });
  }
  const at::Tensor x = normal({2, 3, 4, 16}, 1);
  for (int64_t bits = 2; bits <= 8; ++bits) {
    check_asymmetric(x, bits);
    const at::Tensor codes = ops::quantize_kv_asymmetric(x, bits, kEps).codes;
    CHECK(codes.min().item<int>() == 0);
    CHECK(codes.max().item<int>() == (1 << bits) - 1);
    const at::Tensor low = x.to(at::kBFloat16);
    check_asymmetric(low, bits);
    check_asymmetric(x.transpose(0, 3), bits);
  }
}

TEST_CASE("asymmetric kv: not finite, a range beyond fp32, Meta shapes", "[quant]") {
  at::Tensor x = normal({4, 40}, 1);
  x[1][7] = std::numeric_limits<float>::quiet_NaN();
  x[2][39] = -std::numeric_limits<float>::infinity();
  x[3][0] = 3e38F;
  x[3][1] = -3e38F;
  on_every_path([&] {
    const ops::OffsetCodes q = ops::quantize_kv_asymmetric(x, 4, kEps);
    CHECK(std::isfinite(q.scale[0].item<float>()));
    CHECK(q.scale.narrow(0, 1, 3).isnan().all().item<bool>());
    CHECK(q.codes.narrow(0, 1, 3).eq(0).all().item<bool>());
    CHECK(ops::fake_quantize_kv_asymmetric(x, 4, kEps).narrow(0, 1, 3).isnan().all().item<bool>());
  });
  const ops::OffsetCodes meta = ops::quantize_kv_asymmetric(x.to(at::kMeta), 4, kEps),
                         real = ops::quantize_kv_asymmetric(x, 4, kEps);
  CHECK(test::alike(meta.codes, real.codes));
  CHECK(test::alike(meta.scale, real.scale));
  CHECK(test::alike(meta.minimum, real.minimum));
  CHECK(test::alike(ops::fake_quantize_kv_asymmetric(x.to(at::kMeta), 4, kEps), x));
}

TEST_CASE("absmean activations: 12.0 % zero codes of normal values, the codes of hand-made tokens",
          "[quant]") {
  const ops::Codes q = ops::quantize_act_absmean(normal({256, 4096}, 1), 4, 1.0, kEps);
  const double zeros = q.codes.eq(0).to(at::kFloat).mean().item<double>();
  CHECK(zeros == Approx(0.1200).margin(
                     0.002));  // erf(sqrt(2 / pi) / sqrt(7) / 2 / sqrt(2)); 1M draws: +-0.0003
  CHECK(q.codes.min().item<int>() == -8);
  CHECK(q.codes.max().item<int>() == 7);
  // 2411.04965 eq. 3 by hand: mean .75, step .75 / sqrt(7)
  const at::Tensor token = at::tensor({0.1F, -0.2F, 0.4F, -0.05F, 3.0F, -1.5F, 0.0F, 0.75F});
  const at::Tensor wanted = at::tensor({0, -1, 1, 0, 7, -5, 0, 3}).to(at::kChar);
  const ops::Codes one = ops::quantize_act_absmean(token, 4, 1.0, kEps);
  CHECK(same_bits(one.codes, wanted));
  CHECK(one.scale.item<double>() == Approx(0.75 / std::sqrt(7.0)));
}

TEST_CASE("fp4 codes: every grid point returns itself, ties go to the even mantissa", "[quant]") {
  const at::Tensor grid = at::tensor({0.0F, 0.5F, 1.0F, 1.5F, 2.0F, 3.0F, 4.0F, 6.0F});
  CHECK(same_bits(ops::round_e2m1(grid), grid));
  CHECK(at::equal(ops::round_e2m1(grid.neg()), grid.neg()));
  CHECK(at::equal(ops::quantize_fp4(grid).codes, grid.mul(2).to(at::kChar)));
  const at::Tensor ties = at::tensor({0.25F, 0.75F, 1.25F, 1.75F, 2.5F, 3.5F, 5.0F, 100.0F});
  CHECK(at::equal(ops::round_e2m1(ties),
                  at::tensor({0.0F, 1.0F, 1.0F, 2.0F, 2.0F, 4.0F, 4.0F, 6.0F})));
  // 6 x overflows fp32 from 5.7e37 on
  const at::Tensor huge = at::tensor({3e38F, -1.5e38F, 1e37F});
  CHECK(at::equal(ops::quantize_fp4(huge).codes, at::tensor({12, -6, 0}).to(at::kChar)));
}

TEST_CASE("round_e2m1 equals the reference bit for bit on every path, layout and input type",
          "[quant]") {
  const at::Tensor x = normal({67, 33}, 3).mul(3);
  const at::Tensor wanted = x.clone();
  for (int64_t i = 0; i < x.numel(); ++i) {
    float& value = wanted.data_ptr<float>()[i];
    value = ops::reference::round_e2m1(value);
  }
  on_every_path([&] {
    CHECK(same_bits(ops::round_e2m1(x), wanted));
    CHECK(same_bits(ops::round_e2m1(x.t()), wanted.t()));
    const float bad[] = {std::numeric_limits<float>::quiet_NaN(),
                         std::numeric_limits<float>::infinity(), -0.0F, -0.2F};
    const at::Tensor out = ops::round_e2m1(at::tensor(at::ArrayRef<float>(bad)));
    CHECK(std::isnan(out[0].item<float>()));
    CHECK(out[1].item<float>() == 6);
    CHECK(same_bits(out.narrow(0, 2, 2), at::tensor({0.0F, 0.0F})));
  });
  const at::Tensor low = x.to(at::kBFloat16);
  CHECK(same_bits(ops::round_e2m1(low), ops::round_e2m1(low.to(at::kFloat)).to(at::kBFloat16)));
  CHECK(test::alike(ops::round_e2m1(low.to(at::kMeta)), low));
}

TEST_CASE("row quantizers refuse arguments that make no sense", "[quant]") {
  using Catch::Matchers::Contains;
  const at::Tensor x = normal({2, 6}, 1);
  CHECK_THROWS_WITH(ops::quantize_kv(x, 9, kEps), Contains("quantize_kv: bits must be 2 to 8"));
  CHECK_THROWS_WITH(ops::quantize_kv_asymmetric(x, 1, kEps),
                    Contains("bits must be 2 to 8, got 1"));
  CHECK_THROWS_WITH(ops::fake_quantize_kv(x, 4, 0), Contains("eps must be positive"));
  CHECK_THROWS_WITH(ops::fake_quantize_kv_asymmetric(x.to(at::kLong), 4, kEps),
                    Contains("fp32, bf16 or fp16"));
  CHECK_THROWS_WITH(ops::quantize_act_absmean(x, 4, 0, kEps),
                    Contains("multiplier must be positive, got 0"));
  CHECK_THROWS_WITH(ops::fake_quantize_act_absmean(x, 1, 1, kEps), Contains("bits must be 2 to 8"));
  CHECK_THROWS_WITH(ops::quantize_fp4(at::empty({2, 0})), Contains("last one of at least 1"));
}

}  // namespace
}  // namespace setun
