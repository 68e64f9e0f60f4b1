// Products with few rows: equal to the reference bit for bit on every path and thread count, exact
// sums of 8-bit codes in the worst case, what is not finite, layouts, and the refusal of gradients.
#include <ATen/ATen.h>

#include <limits>

#include "ops/cpu/reference_few_rows.h"
#include "ops/few_rows_ops.h"
#include "ops/kernel_calls.h"
#include "quant/tensors.h"
#include "support/catch.h"

namespace setun {
namespace {

using test::normal;
using test::on_every_path;
using test::same_bits;

constexpr at::ScalarType kTypes[] = {at::kFloat, at::kBFloat16};

std::vector<float> values(const at::Tensor& t) {
  const at::Tensor flat = t.to(at::kFloat).contiguous();
  return {flat.const_data_ptr<float>(), flat.const_data_ptr<float>() + flat.numel()};
}

void check_product(int64_t rows, int64_t outputs, int64_t columns) {
  INFO(rows << " x " << outputs << " x " << columns);
  for (const at::ScalarType x_type : kTypes) {
    for (const at::ScalarType w_type : kTypes) {
      const at::Tensor x = normal({rows, columns}, rows).to(x_type);
      const at::Tensor w = normal({outputs, columns}, columns).to(w_type);
      const at::Tensor wanted =
          at::tensor(ops::reference::few_rows_linear(
                         {values(x), values(w), rows, outputs, columns, w_type == at::kBFloat16}))
              .view({rows, outputs});
      on_every_path([&] {
        const at::Tensor y = ops::few_rows_linear(x, w, at::kFloat);
        CHECK(same_bits(y, wanted));
        CHECK(same_bits(ops::few_rows_linear(x, w, at::kBFloat16), y.to(at::kBFloat16)));
      });
      // K products and sums, each rounded: far below the sum of the magnitudes times 2^-24 K.
      const at::Tensor exact = at::mm(x.to(at::kDouble), w.to(at::kDouble).t());
      const at::Tensor room =
          at::mm(x.abs().to(at::kDouble), w.abs().to(at::kDouble).t()) * 2e-7 + 1e-12;
      CHECK((wanted.to(at::kDouble) - exact).abs().le(room).all().item<bool>());
    }
  }
}

TEST_CASE("add_residual is LibTorch's sum, bit for bit, on every path", "[quant]") {
  for (const int64_t width : {1, 7, 33, 40000}) {
    for (const at::ScalarType type : kTypes) {
      const at::Tensor x = normal({2, width}, 1);
      at::Tensor y = normal({2, width}, 2);
      y[1][0] = std::nanf("");
      y = y.to(type);
      on_every_path([&] {
        const at::Tensor sum = ops::add_residual(x, y);
        CHECK(sum[1][0].isnan().item<bool>());
        CHECK(same_bits(sum[0], (x + y)[0]));
        CHECK(same_bits(ops::add_residual(x.t(), y.t()).t().contiguous()[0], sum[0]));
      });
      CHECK(test::alike(ops::add_residual(x.to(at::kMeta), y.to(at::kMeta)), x));
    }
  }
  const at::Tensor x = normal({2, 3}, 1);
  CHECK_THROWS_WITH(ops::add_residual(x, x.narrow(1, 0, 2)), Catch::Contains("y of shape [2, 3]"));
  CHECK_THROWS_WITH(ops::add_residual(x.to(at::kBFloat16), x), Catch::Contains("a fp32 x"));
  CHECK_THROWS_WITH(ops::add_residual(x, x.clone().requires_grad_()),
                    Catch::Contains("has no gradient"));
}

TEST_CASE("few_rows_linear equals the reference bit for bit on every path", "[quant]") {
  for (const int64_t rows : {1, 2, 3, 4, 5, 16}) {
    check_product(rows, 9, 64);
    check_product(rows, 4, 33);
    check_product(rows, 131, 96);
  }
  check_product(1, 1, 1);
  check_product(16, 3, 7);
  check_product(2, 5, 31);
  check_product(1, 1300, 768);  // more outputs than a task, and more than one thread takes
}

TEST_CASE("few_rows_linear reads any layout: batches, parts of rows, unaligned rows", "[quant]") {
  const at::Tensor w = normal({40, 70}, 1).to(at::kBFloat16), x = normal({2, 3, 70}, 2);
  const at::Tensor y = ops::few_rows_linear(x, w, at::kFloat);
  CHECK(y.sizes() == at::IntArrayRef({2, 3, 40}));
  CHECK(same_bits(ops::few_rows_linear(x.view({6, 70}), w, at::kFloat), y.view({6, 40})));
  CHECK(same_bits(ops::few_rows_linear(x[1][2], w, at::kFloat), y[1][2]));
  const at::Tensor wide = normal({40, 93}, 3).to(at::kBFloat16);
  const at::Tensor part = wide.narrow(1, 5, 70);  // rows begin at odd addresses, 93 apart
  CHECK(same_bits(ops::few_rows_linear(x, part, at::kFloat),
                  ops::few_rows_linear(x, part.contiguous(), at::kFloat)));
  const at::Tensor turned = w.t().contiguous().t();
  CHECK(same_bits(ops::few_rows_linear(x, turned, at::kFloat), y));
  const at::Tensor strided = x.transpose(0, 1).contiguous().transpose(0, 1);
  CHECK(same_bits(ops::few_rows_linear(strided, w, at::kFloat), y));
  CHECK(ops::few_rows_linear(x.narrow(0, 0, 0), w, at::kFloat).sizes() ==
        at::IntArrayRef({0, 3, 40}));
  CHECK(ops::few_rows_linear(x, w.narrow(0, 0, 0), at::kFloat).numel() == 0);
  CHECK(test::alike(ops::few_rows_linear(x.to(at::kMeta), w.to(at::kMeta), at::kFloat), y));
}

TEST_CASE("few_rows_linear: a NaN reaches the outputs that read it and nothing else", "[quant]") {
  at::Tensor w = normal({37, 50}, 1), x = normal({3, 50}, 2);
  w[11][49] = std::nanf("");
  x[1][20] = std::nanf("");
  w[5][3] = std::numeric_limits<float>::infinity();
  for (const at::ScalarType type : kTypes) {
    on_every_path([&] {
      const at::Tensor y = ops::few_rows_linear(x, w.to(type), at::kFloat);
      CHECK(y.select(1, 11).isnan().all().item<bool>());
      CHECK(y[1].isnan().all().item<bool>());
      CHECK(y.isnan().sum().item<int64_t>() == 37 + 2);
      CHECK(y[0][5].isinf().item<bool>());
    });
  }
}

TEST_CASE("the kernels of few rows that ran are those of the path in use", "[quant]") {
  const at::Tensor x = normal({1, 64}, 1), w = normal({8, 64}, 2);
  const ops::RowCodes codes = ops::quantize_absmax_rows(x, 8, 1e-5),
                      w_codes = ops::quantize_absmax_rows(w, 8, 1e-5);
  on_every_path([&] {
    const int64_t linear = ops::kernel_calls(Kernel::kFewRowsLinear, cpu_path()),
                  int8 = ops::kernel_calls(Kernel::kInt8Linear, cpu_path());
    ops::few_rows_linear(x, w, at::kFloat);
    ops::int8_linear(codes, w_codes, at::kFloat);
    CHECK(ops::kernel_calls(Kernel::kFewRowsLinear, cpu_path()) == linear + 1);
    CHECK(ops::kernel_calls(Kernel::kInt8Linear, cpu_path()) == int8 + 1);
  });
}

ops::RowCodes codes_of(const at::Tensor& codes) {
  std::vector<int64_t> shape = codes.sizes().vec();
  shape.back() = 1;
  return {codes, at::rand(shape).add(0.5), codes.sum(-1, false, at::kInt)};
}

TEST_CASE("int8_linear: exact sums, one division and one rounding, on every path", "[quant]") {
  at::manual_seed(1);
  for (const int64_t columns : {1, 7, 63, 64, 65, 200, 768}) {
    for (const int64_t rows : {1, 3, 40}) {
      INFO(rows << " x " << columns);
      const ops::RowCodes x = codes_of(at::randint(-128, 128, {rows, columns}, at::kChar));
      const ops::RowCodes w = codes_of(at::randint(-128, 128, {70, columns}, at::kChar));
      // below 2^24, so that fp32 holds the sums: the operator rounds larger ones once
      const at::Tensor sums = at::mm(x.codes.to(at::kDouble), w.codes.to(at::kDouble).t());
      const at::Tensor wanted = sums.to(at::kFloat) / (x.scale * w.scale.t());
      on_every_path([&] {
        CHECK(same_bits(ops::int8_linear(x, w, at::kFloat), wanted));
        CHECK(same_bits(ops::int8_linear(x, w, at::kBFloat16), wanted.to(at::kBFloat16)));
      });
    }
  }
}

TEST_CASE("int8_linear: the largest sums stay exact", "[quant]") {
  for (const int64_t columns : {int64_t{4096}, ops::kMostInt8Columns}) {
    for (const int x_code : {127, -128}) {
      for (const int w_code : {127, -128}) {
        const at::Tensor x = at::full({1, columns}, x_code, at::kChar),
                         w = at::full({5, columns}, w_code, at::kChar);
        const ops::RowCodes a = {x, at::ones({1, 1}), x.sum(-1, false, at::kInt)},
                            b = {w, at::ones({5, 1}), w.sum(-1, false, at::kInt)};
        on_every_path([&] {
          CHECK(ops::int8_linear(a, b, at::kFloat)
                    .eq(static_cast<float>(columns * x_code * w_code))
                    .all()
                    .item<bool>());
        });
      }
    }
  }
  const at::Tensor wide = at::zeros({1, ops::kMostInt8Columns + 1}, at::kChar);
  const ops::RowCodes codes = codes_of(wide);
  CHECK_THROWS_WITH(ops::int8_linear(codes, codes, at::kFloat), Catch::Contains("at most 131071"));
}

TEST_CASE("int8_linear is near the product of what was rounded; a NaN row stays visible",
          "[quant]") {
  at::Tensor x = normal({4, 256}, 1), w = normal({50, 256}, 2);
  const auto product = [&] {
    return ops::int8_linear(ops::quantize_absmax_rows(x, 8, 1e-5),
                            ops::quantize_absmax_rows(w, 8, 1e-30), at::kFloat);
  };
  // half a step of 1 / 127 of the largest of 256 normal numbers (about 3), on both sides: 16
  // sqrt(2)
  // * 3 / 254 / sqrt(3) / 16 of the product's spread, about 1 %
  const double spread = (product() - at::mm(x, w.t())).std().item<double>() / 16;
  CHECK(spread < 0.015);
  CHECK(spread > 0.001);
  x[2][7] = std::nanf("");
  w[9][0] = std::numeric_limits<float>::infinity();
  w[3].zero_();
  on_every_path([&] {
    const at::Tensor y = product();
    CHECK(y[2].isnan().all().item<bool>());
    CHECK(y.select(1, 9).isnan().all().item<bool>());
    CHECK(y.isnan().sum().item<int64_t>() == 50 + 3);
    CHECK(y[0][3].item<float>() == 0);
  });
}

TEST_CASE("few_rows_linear and int8_linear refuse gradients, many rows and what does not fit",
          "[quant]") {
  using Catch::Matchers::Contains;
  const at::Tensor x = normal({2, 16}, 1), w = normal({4, 16}, 2).to(at::kBFloat16);
  const at::Tensor learned = w.detach().clone().requires_grad_();
  CHECK_THROWS_WITH(ops::few_rows_linear(x, learned, at::kFloat),
                    Contains("has no gradient") && Contains("NoGradGuard"));
  {
    const c10::NoGradGuard no_grad;
    CHECK(same_bits(ops::few_rows_linear(x, learned, at::kFloat),
                    ops::few_rows_linear(x, w, at::kFloat)));
  }
  CHECK_THROWS_WITH(ops::few_rows_linear(normal({17, 16}, 1), w, at::kFloat),
                    Contains("at most 16 rows") && Contains("at::linear"));
  CHECK_THROWS_WITH(ops::few_rows_linear(x, normal({4, 15}, 1), at::kFloat),
                    Contains("expected a weight [out, 16]"));
  CHECK_THROWS_WITH(ops::few_rows_linear(x.to(at::kHalf), w, at::kFloat),
                    Contains("fp32 or bf16 x, got Half"));
  CHECK_THROWS_WITH(ops::few_rows_linear(x, w, at::kHalf),
                    Contains("dtype must be float32 or bfloat16"));
  const ops::RowCodes a = ops::quantize_absmax_rows(x, 8, 1e-5),
                      b = ops::quantize_absmax_rows(w, 8, 1e-5);
  CHECK_THROWS_WITH(ops::int8_linear(a, {b.codes, b.scale, b.row_sums.to(at::kLong)}, at::kFloat),
                    Contains("expected int32 w row_sums [4]"));
  CHECK_THROWS_WITH(
      ops::int8_linear(a, {b.codes.narrow(1, 0, 15), b.scale, b.row_sums}, at::kFloat),
      Contains("expected w codes [out, 16]"));
}

}  // namespace
}  // namespace setun
