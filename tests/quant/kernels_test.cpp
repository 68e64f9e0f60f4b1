// Every kernel path, thread count, layout and input type gives the bits of the plain reference
// implementation.
#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "ops/cpu/reference.h"
#include "ops/ops.h"
#include "quant/tensors.h"
#include "support/catch.h"

namespace setun {
namespace {

using test::alike;
using test::kWidths;
using test::nasty_rows;
using test::normal;
using test::on_every_path;
using test::row_of;
using test::same_bits;

constexpr double kEps = 1e-5;

void check_absmax(const at::Tensor& x, int64_t bits) {
  const ops::Codes q = ops::quantize_absmax(x, bits, kEps);
  const at::Tensor fake = ops::fake_quantize_absmax(x, bits, kEps);
  CHECK(same_bits(fake, ops::dequantize_absmax(q).to(x.scalar_type())));
  const at::Tensor codes = q.codes.view({-1, x.size(-1)}), scale = q.scale.view({-1});
  for (int64_t row = 0; row < codes.size(0); ++row) {
    const auto wanted = ops::reference::quantize_absmax(row_of(x, row), bits, kEps);
    const at::Tensor got = codes[row].contiguous();
    CHECK(std::equal(wanted.codes.begin(), wanted.codes.end(), got.const_data_ptr<int8_t>()));
    CHECK(scale[row].item<float>() == wanted.scale);
  }
}

TEST_CASE(
    "absmax equals the reference bit for bit on every path, width, thread count and bit width",
    "[quant]") {
  for (const int64_t width : kWidths) {
    INFO("width " << width);
    const at::Tensor x = nasty_rows(width);
    on_every_path([&] { check_absmax(x, 8); });
  }
  const at::Tensor x = nasty_rows(100);
  for (int64_t bits = 2; bits <= 8; ++bits) {
    check_absmax(x, bits);
    const at::Tensor codes = ops::quantize_absmax(x, bits, kEps).codes;
    CHECK(codes.max().item<int>() == (1 << (bits - 1)) - 1);
  }
}

TEST_CASE("layout and input type do not change codes", "[quant]") {
  const at::Tensor x = normal({64, 48}, 5);
  const at::Tensor transposed = x.t().contiguous().t();
  const at::Tensor strided = at::empty({64, 96}).narrow(1, 0, 48).copy_(x);
  for (const at::Tensor& view : {transposed, strided}) {
    REQUIRE_FALSE(view.is_contiguous());
    CHECK(same_bits(ops::quantize_absmax(view, 8, kEps).codes,
                    ops::quantize_absmax(x, 8, kEps).codes));
    CHECK(
        same_bits(ops::fake_quantize_absmax(view, 8, kEps), ops::fake_quantize_absmax(x, 8, kEps)));
    CHECK(same_bits(ops::quantize_absmean(view, 0, kEps).codes,
                    ops::quantize_absmean(x, 0, kEps).codes));
    CHECK(same_bits(ops::rms_norm(view, {}, kEps), ops::rms_norm(x, {}, kEps)));
  }
  for (const at::ScalarType type : {at::kBFloat16, at::kHalf}) {
    const at::Tensor low = x.to(type), wide = low.to(at::kFloat);
    CHECK(same_bits(ops::quantize_absmax(low, 8, kEps).codes,
                    ops::quantize_absmax(wide, 8, kEps).codes));
    CHECK(same_bits(ops::fake_quantize_absmax(low, 8, kEps),
                    ops::fake_quantize_absmax(wide, 8, kEps).to(type)));
    CHECK(same_bits(ops::quantize_absmean(low, 48, kEps).codes,
                    ops::quantize_absmean(wide, 48, kEps).codes));
  }
}

TEST_CASE("rms_norm is equal on every path and within a few ulp of double precision", "[quant]") {
  for (const int64_t width : kWidths) {
    const at::Tensor x = nasty_rows(width), gain = normal({width}, 9);
    force_cpu_path(CpuPath::kScalar);
    const at::Tensor wanted = ops::rms_norm(x, gain, kEps);
    on_every_path([&] { CHECK(same_bits(ops::rms_norm(x, gain, kEps), wanted)); });
    for (int64_t row = 0; row < x.size(0); ++row) {
      const std::vector<float> in = row_of(x, row), g = row_of(gain.view({1, -1}), 0),
                               got = row_of(wanted, row);
      const auto exact =
          ops::reference::rms_norm({in.begin(), in.end()}, {g.begin(), g.end()}, kEps);
      for (std::size_t i = 0; i < got.size(); ++i) {
        // factor, two products and a sum of 32 x 128 terms a block: a dozen roundings
        CHECK(std::abs(got[i] - exact[i]) <=
              16 * std::numeric_limits<float>::epsilon() * std::abs(exact[i]) + 1e-37);
      }
    }
  }
}

TEST_CASE("rms_norm is exact on both sides of the size from which rows are divided first",
          "[quant]") {
  for (const double size : {1e16, 1e17, 9.9e17, 1.1e18, 1e19}) {
    for (const int64_t width : {1, 50, 5000}) {
      INFO("largest " << size << " width " << width);
      at::Tensor x = normal({2, width}, width);
      x.mul_(size / x.abs().amax(1, /*keepdim=*/true));
      const at::Tensor exact =
          x.to(at::kDouble) / x.to(at::kDouble).square().mean(1, /*keepdim=*/true).sqrt();
      on_every_path([&] {
        const at::Tensor error = (ops::rms_norm(x, {}, kEps).to(at::kDouble) - exact).abs();
        CHECK(
            (error <= 16 * std::numeric_limits<float>::epsilon() * exact.abs()).all().item<bool>());
      });
    }
  }
}

TEST_CASE("layer_norm is equal on every path and as exact as fp32 allows", "[quant]") {
  for (const int64_t width : kWidths) {
    const at::Tensor x = nasty_rows(width);
    force_cpu_path(CpuPath::kScalar);
    const at::Tensor wanted = ops::layer_norm(x, kEps);
    on_every_path([&] { CHECK(same_bits(ops::layer_norm(x, kEps), wanted)); });
    for (int64_t row = 0; row < x.size(0); ++row) {
      const std::vector<float> in = row_of(x, row), got = row_of(wanted, row);
      const auto exact = ops::reference::layer_norm({in.begin(), in.end()}, kEps);
      for (std::size_t i = 0; i < got.size(); ++i) {
        // as RMSNorm, and the rounding of the mean in units of the row's spread
        CHECK(std::abs(got[i] - exact[i]) <=
              16 * std::numeric_limits<float>::epsilon() * (std::abs(exact[i]) + 1) + 1e-37);
      }
    }
  }
  const at::Tensor x = normal({64, 48}, 5), low = x.to(at::kBFloat16);
  CHECK(same_bits(ops::layer_norm(x.t().contiguous().t(), kEps), ops::layer_norm(x, kEps)));
  CHECK(same_bits(ops::layer_norm(low, kEps), ops::layer_norm(low.to(at::kFloat), kEps)));
  CHECK(ops::layer_norm(x, 1.0).abs().max().item<float>() <
        ops::layer_norm(x, kEps).abs().max().item<float>());
  CHECK_THROWS_WITH(ops::layer_norm(x, 0.0), Catch::Contains("eps must be positive"));
  CHECK(ops::layer_norm(x.to(at::kMeta), kEps).sizes() == x.sizes());
}

TEST_CASE("a value that is not finite makes its scale NaN and its codes 0, on every path",
          "[quant]") {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (const int64_t at : {0, 33, 99}) {
      at::Tensor x = normal({2, 100}, 1);
      x[1][at] = bad;
      on_every_path([&] {
        const ops::Codes q = ops::quantize_absmax(x, 8, kEps);
        CHECK(std::isfinite(q.scale[0].item<float>()));
        CHECK(std::isnan(q.scale[1].item<float>()));
        CHECK(q.codes[1].eq(0).all().item<bool>());
        CHECK(ops::fake_quantize_absmax(x, 8, kEps)[1].isnan().all().item<bool>());
        const ops::Codes w = ops::quantize_absmean(x, 0, kEps);
        CHECK(std::isnan(w.scale.item<float>()));
        CHECK(w.codes.eq(0).all().item<bool>());
        CHECK(ops::rms_norm(x, {}, kEps)[1].isnan().any().item<bool>());
        CHECK(ops::layer_norm(x, kEps)[1].isnan().any().item<bool>());
        CHECK(ops::layer_norm(x, kEps)[0].isfinite().all().item<bool>());
      });
    }
  }
}

TEST_CASE("arguments that make no sense are refused with what was expected", "[quant]") {
  using Catch::Matchers::Contains;
  const at::Tensor x = normal({2, 6}, 1);
  CHECK_THROWS_WITH(ops::quantize_absmax(x, 1, kEps), Contains("bits must be 2 to 8, got 1"));
  CHECK_THROWS_WITH(ops::quantize_absmax(x, 9, kEps), Contains("bits must be 2 to 8, got 9"));
  CHECK_THROWS_WITH(ops::quantize_absmax(x, 8, 0.0), Contains("eps must be positive"));
  CHECK_THROWS_WITH(ops::quantize_absmax(x.to(at::kLong), 8, kEps), Contains("fp32, bf16 or fp16"));
  CHECK_THROWS_WITH(ops::quantize_absmax(at::empty({2, 0}), 8, kEps),
                    Contains("last one of at least 1"));
  CHECK_THROWS_WITH(ops::quantize_absmean(x, 4, kEps),
                    Contains("group 4 does not divide the 6 input columns"));
  CHECK_THROWS_WITH(ops::quantize_absmean(x[0], 0, kEps), Contains("expected a weight [out, in]"));
  CHECK_THROWS_WITH(ops::rms_norm(x, normal({5}, 1), kEps), Contains("expected a fp32 gain [6]"));
}

TEST_CASE("Meta kernels agree with the CPU kernels on shapes and types", "[quant]") {
  const at::Tensor x = normal({3, 4, 8}, 1), w = normal({6, 8}, 2);
  const at::Tensor xm = x.to(at::kMeta), wm = w.to(at::kMeta);
  CHECK(alike(ops::quantize_absmax(xm, 8, kEps).codes, ops::quantize_absmax(x, 8, kEps).codes));
  CHECK(alike(ops::quantize_absmax(xm, 8, kEps).scale, ops::quantize_absmax(x, 8, kEps).scale));
  CHECK(alike(ops::fake_quantize_absmax(xm, 8, kEps), ops::fake_quantize_absmax(x, 8, kEps)));
  for (const int64_t group : {0, 4, 8}) {
    CHECK(alike(ops::quantize_absmean(wm, group, kEps).scale,
                ops::quantize_absmean(w, group, kEps).scale));
  }
  CHECK(alike(ops::rms_norm(xm, {}, kEps), ops::rms_norm(x, {}, kEps)));
}

}  // namespace
}  // namespace setun
