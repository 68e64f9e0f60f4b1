// Row codes of the integer path: the same bits as the operators they fuse, and codes of gradients.
#include <ATen/ops/empty.h>

#include <limits>

#include "base/counter_rng.h"
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

void check_rows(const ops::RowCodes& got, const ops::Codes& wanted) {
  CHECK(same_bits(got.codes, wanted.codes));
  CHECK(same_bits(got.scale, wanted.scale));
  CHECK(same_bits(got.row_sums, wanted.codes.sum(-1, false, at::kInt)));
}

TEST_CASE("quantize_absmax_rows gives quantize_absmax's bits and the sums of the codes",
          "[quant]") {
  for (const int64_t width : kWidths) {
    const at::Tensor x = nasty_rows(width);
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kHalf}) {
      const at::Tensor low = x.clamp(-6e4, 6e4).to(type);
      for (const int64_t bits : {4, 8}) {
        const ops::Codes wanted = ops::quantize_absmax(low, bits, kEps);
        on_every_path([&] { check_rows(ops::quantize_absmax_rows(low, bits, kEps), wanted); });
      }
    }
  }
  const at::Tensor x = normal({3, 5, 40}, 1);
  check_rows(ops::quantize_absmax_rows(x.transpose(0, 1), 8, kEps),
             ops::quantize_absmax(x.transpose(0, 1), 8, kEps));
}

at::Tensor composed_input(const at::Tensor& x, const at::Tensor& gain, int64_t block) {
  const at::Tensor y = ops::rms_norm(x, gain, 1e-6);
  return block == 0 ? y : ops::hadamard(y, block);
}

TEST_CASE("rms_norm_quantize gives the bits of rms_norm, hadamard and quantize_absmax", "[quant]") {
  for (const int64_t width : {1, 33, 64, 192, 1024, 4160}) {
    at::Tensor x = nasty_rows(width);
    const at::Tensor gain = normal({width}, 9);
    for (const int64_t block : {int64_t{0}, int64_t{1}, width & -width}) {
      for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
        const at::Tensor low = x.to(type);
        for (const at::Tensor& g : {gain, at::Tensor()}) {
          const ops::Codes wanted = ops::quantize_absmax(composed_input(low, g, block), 8, kEps);
          const at::Tensor factor =
              std::get<1>(c10::Dispatcher::singleton()
                              .findSchemaOrThrow("setun::rms_norm_forward", "")
                              .typed<std::tuple<at::Tensor, at::Tensor>(
                                  const at::Tensor&, const std::optional<at::Tensor>&, double)>()
                              .call(low, g.defined() ? std::optional(g) : std::nullopt, 1e-6));
          INFO("width " << width << " block " << block << " " << type);
          on_every_path([&] {
            const ops::NormedRowCodes got = ops::rms_norm_quantize(low, g, 1e-6, 8, kEps, block);
            check_rows(got.rows, wanted);
            CHECK(same_bits(got.factor.view({-1}), factor));
          });
        }
      }
    }
  }
}

TEST_CASE("a row that is not finite has a NaN scale, zero codes and a zero sum", "[quant]") {
  at::Tensor x = normal({3, 100}, 1);
  x[1][70] = std::numeric_limits<float>::quiet_NaN();
  x[2][3] = std::numeric_limits<float>::infinity();
  on_every_path([&] {
    for (const ops::RowCodes& q :
         {ops::quantize_absmax_rows(x, 8, kEps), ops::quantize_gradient_rows(x, false, 0),
          ops::quantize_gradient_rows(x, true, 5),
          ops::rms_norm_quantize(x, {}, 1e-6, 8, kEps, 4).rows}) {
      CHECK(std::isfinite(q.scale[0].item<float>()));
      CHECK(q.scale.narrow(0, 1, 2).isnan().all().item<bool>());
      CHECK(q.codes.narrow(0, 1, 2).eq(0).all().item<bool>());
      CHECK(q.row_sums.narrow(0, 1, 2).eq(0).all().item<bool>());
    }
  });
}

TEST_CASE("gradient codes equal the reference on every path, nearest and stochastic", "[quant]") {
  for (const int64_t width : kWidths) {
    at::Tensor dy = nasty_rows(width).mul(1e-6);
    on_every_path([&] {
      for (const bool stochastic : {false, true}) {
        const ops::RowCodes got = ops::quantize_gradient_rows(dy, stochastic, 77);
        for (int64_t row = 0; row < dy.size(0); ++row) {
          std::vector<float> u;
          for (int64_t i = 0; stochastic && i < width; ++i) {
            u.push_back(random_uniform_float(77, static_cast<uint64_t>(row * width + i)));
          }
          const auto wanted = ops::reference::quantize_gradient(row_of(dy, row), u);
          const at::Tensor codes = got.codes[row];
          CHECK(
              std::equal(wanted.codes.begin(), wanted.codes.end(), codes.const_data_ptr<int8_t>()));
          CHECK(got.scale[row].item<float>() == wanted.scale);
          CHECK(got.row_sums[row].item<int>() == codes.sum().item<int>());
        }
      }
    });
  }
}

TEST_CASE("stochastic gradient codes are unbiased, nearest ones are within half a step",
          "[quant]") {
  const at::Tensor dy = normal({4, 256}, 3).mul(1e-4);
  const ops::RowCodes nearest = ops::quantize_gradient_rows(dy, false, 0);
  const at::Tensor error = nearest.codes.to(at::kFloat).sub(dy.mul(nearest.scale)).abs();
  CHECK(error.max().item<float>() <= 0.5001F);
  at::Tensor mean = at::zeros({4, 256});
  constexpr int kDraws = 4000;
  for (int key = 0; key < kDraws; ++key) {
    mean += ops::quantize_gradient_rows(dy, true, key * 7919).codes;
  }
  // The error of a mean of 4,000 draws of a variable in {0, 1} is at most 0.0079 (one sigma); 1,024
  // such means stay within 4.5 sigma.
  CHECK(mean.div(kDraws).sub(dy.mul(nearest.scale)).abs().max().item<float>() < 4.5F * 0.0079F);
}

TEST_CASE("row codes: Meta and refused arguments", "[quant]") {
  using Catch::Matchers::Contains;
  const at::Tensor x = normal({2, 3, 8}, 1), meta = x.to(at::kMeta);
  const auto same = [](const ops::RowCodes& a, const ops::RowCodes& b) {
    CHECK(alike(a.codes, b.codes));
    CHECK(alike(a.scale, b.scale));
    CHECK(alike(a.row_sums, b.row_sums));
  };
  same(ops::quantize_absmax_rows(meta, 8, kEps), ops::quantize_absmax_rows(x, 8, kEps));
  same(ops::quantize_gradient_rows(meta, true, 1), ops::quantize_gradient_rows(x, true, 1));
  const ops::NormedRowCodes real = ops::rms_norm_quantize(x, {}, 1e-6, 8, kEps, 4);
  const ops::NormedRowCodes shape = ops::rms_norm_quantize(meta, {}, 1e-6, 8, kEps, 4);
  same(shape.rows, real.rows);
  CHECK(alike(shape.factor, real.factor));
  const at::Tensor codes = real.rows.codes;
  CHECK(alike(ops::pack_int4(codes.to(at::kMeta)), ops::pack_int4(codes)));
  CHECK(ops::unpack_int4(ops::pack_int4(codes.to(at::kMeta)), 8).sizes() == codes.sizes());
  CHECK_THROWS_WITH(ops::quantize_absmax_rows(x, 9, kEps), Contains("bits must be 2 to 8"));
  CHECK_THROWS_WITH(ops::rms_norm_quantize(x, {}, 1e-6, 8, kEps, 3),
                    Contains("block must be a power of two"));
  CHECK_THROWS_WITH(ops::rms_norm_quantize(x, normal({7}, 1), 1e-6, 8, kEps, 0),
                    Contains("expected a fp32 gain [8]"));
  CHECK_THROWS_WITH(ops::pack_int4(x), Contains("expected int8 codes"));
  CHECK_THROWS_WITH(ops::unpack_int4(ops::pack_int4(codes), 10), Contains("uint8 [..., 5]"));
}

}  // namespace
}  // namespace setun
