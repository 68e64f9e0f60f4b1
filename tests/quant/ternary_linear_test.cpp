// The integer product: exact sums on every path, shape, thread count and worst case; its epilogue;
// 4-bit activations.
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randint.h>

#include <limits>

#include "ops/cpu/reference.h"
#include "ops/kernel_calls.h"
#include "ops/ops.h"
#include "quant/tensors.h"
#include "support/catch.h"

namespace setun {
namespace {

using test::normal;
using test::on_every_path;
using test::same_bits;

ops::RowCodes row_codes(const at::Tensor& codes) {
  std::vector<int64_t> shape = codes.sizes().vec();
  shape.back() = 1;
  return {codes, at::randn(shape).abs().add(1), codes.sum(-1, false, at::kInt)};
}

template <class T>
std::vector<T> values(const at::Tensor& t) {
  const at::Tensor flat = t.contiguous();
  return {flat.const_data_ptr<T>(), flat.const_data_ptr<T>() + flat.numel()};
}

struct Case {
  int64_t rows, outputs, columns, groups;
  bool whole_scale = false, residual = false;
};

void check_case(const Case& c) {
  INFO(c.rows << " x " << c.outputs << " x " << c.columns << ", groups " << c.groups);
  at::manual_seed(static_cast<uint64_t>(c.rows * 7 + c.outputs * 3 + c.columns));
  const ops::RowCodes x = row_codes(at::randint(-128, 128, {c.rows, c.columns}, at::kChar));
  const at::Tensor w = at::randint(-1, 2, {c.outputs, c.columns}, at::kChar);
  const at::Tensor scale =
      c.whole_scale ? at::randn({1, 1}).abs() : at::randn({c.outputs, c.groups}).abs();
  const at::Tensor residual =
      c.residual ? at::randn({c.rows, c.outputs}).to(at::kBFloat16) : at::Tensor();
  const std::vector<float> wanted = ops::reference::ternary_linear(
      {values<int8_t>(x.codes), values<float>(x.scale), values<int8_t>(w), values<float>(scale),
       c.residual ? values<float>(residual.to(at::kFloat)) : std::vector<float>(), c.rows,
       c.outputs, c.columns, c.groups});
  on_every_path([&] {
    const ops::PackedTernary packed = ops::pack_ternary(w);
    const at::Tensor y = ops::ternary_linear(x, packed, scale, at::kFloat, residual);
    REQUIRE(y.sizes() == at::IntArrayRef({c.rows, c.outputs}));
    CHECK(std::memcmp(y.const_data_ptr<float>(), wanted.data(), wanted.size() * 4) == 0);
    CHECK(same_bits(ops::ternary_linear(x, packed, scale, at::kBFloat16, residual),
                    y.to(at::kBFloat16)));
  });
}

TEST_CASE("ternary_linear equals the reference bit for bit on every path", "[quant]") {
  for (const int64_t rows : {1, 2, 3, 5, 16, 17, 64, 301}) {
    check_case({rows, 16, 16, 1});
    check_case({rows, 65, 100, 1, true});
    check_case({rows, 130, 257, 1, false, true});
    check_case({rows, 48, 192, 3});                // groups of whole tiles
    check_case({rows, 48, 192, 16, false, true});  // groups of 12 columns
    check_case({rows, 20, 33, 3});                 // neither width nor group fits a tile
  }
  check_case({1, 1, 1, 1});
  check_case({17, 1, 1, 1, true});
  check_case({33, 200, 1024, 1, true});
}

// All activations and all weights alike: the largest sums there are.
void check_constant(int64_t rows, int64_t outputs, int64_t columns, int activation, int weight) {
  INFO(rows << " x " << columns << ": " << activation << " * " << weight);
  const at::Tensor codes = at::full({rows, columns}, activation, at::kChar);
  const ops::RowCodes x = {codes, at::ones({rows, 1}), codes.sum(-1, false, at::kInt)};
  const at::Tensor w = at::full({outputs, columns}, weight, at::kChar);
  const auto wanted = static_cast<float>(columns * activation * weight);
  on_every_path([&] {
    const at::Tensor y = ops::ternary_linear(x, ops::pack_ternary(w), at::ones({1, 1}), at::kFloat);
    CHECK(y.eq(wanted).all().item<bool>());
  });
}

TEST_CASE("sums stay exact in the worst case, up to the largest number of columns", "[quant]") {
  for (const int activation : {127, -128}) {
    for (const int weight : {1, -1, 0}) {
      for (const int64_t columns : {64, 256, 2048, 4096, 32768}) {
        for (const int64_t rows : {1, 4, 18}) {
          check_constant(rows, 70, columns, activation, weight);
        }
      }
    }
    for (const int64_t rows : {1, 2, 4, 18}) {
      check_constant(rows, 1, int64_t{1} << 19, activation, 1);
    }
  }
  CHECK_THROWS_WITH(ops::pack_ternary(at::full({1, (1 << 19) + 1}, 1, at::kChar)),
                    Catch::Contains("at most 524288"));
}

TEST_CASE("4-bit activations give the product of their 8-bit copies", "[quant]") {
  for (const int64_t columns : {1, 7, 64, 129}) {
    for (const int64_t rows : {1, 3, 40}) {
      const ops::RowCodes x = row_codes(at::randint(-8, 8, {rows, columns}, at::kChar));
      const at::Tensor w = at::randint(-1, 2, {37, columns}, at::kChar);
      const ops::PackedTernary packed = ops::pack_ternary(w);
      const at::Tensor wanted = ops::ternary_linear(x, packed, at::ones({1, 1}), at::kFloat);
      on_every_path([&] {
        ops::RowCodes pairs = x;
        pairs.codes = ops::pack_int4(x.codes);
        CHECK(pairs.codes.size(1) == (columns + 1) / 2);
        CHECK(same_bits(ops::unpack_int4(pairs.codes, columns), x.codes));
        CHECK(same_bits(ops::ternary_linear(pairs, packed, at::ones({1, 1}), at::kFloat), wanted));
      });
    }
  }
}

TEST_CASE("the integer product is the float product of the dequantized operands", "[quant]") {
  const at::Tensor x = normal({48, 320}, 1), w = normal({96, 320}, 2).mul(0.02);
  const ops::PackedWeight packed = ops::quantize_pack_absmean(w, 0, 1e-5);
  const ops::RowCodes codes = ops::quantize_absmax_rows(x, 8, 1e-5);
  const at::Tensor y = ops::ternary_linear(codes, packed.codes, packed.scale, at::kFloat);
  const at::Tensor exact =
      ops::dequantize_absmax({codes.codes, codes.scale})
          .to(at::kDouble)
          .matmul(ops::dequantize_absmean(ops::quantize_absmean(w, 0, 1e-5)).to(at::kDouble).t());
  // acc is exact; the ratio of scales, the conversion, the product, and the reference's own fp32
  // operands: four roundings
  const double bound = 4 * std::numeric_limits<float>::epsilon();
  CHECK(y.to(at::kDouble).sub(exact).abs().le(exact.abs().mul(bound).add(1e-6)).all().item<bool>());
}

TEST_CASE("ternary_linear: leading dimensions, layouts, NaN scales, no rows, Meta", "[quant]") {
  const ops::RowCodes x = row_codes(at::randint(-128, 128, {2, 3, 40}, at::kChar));
  const ops::PackedTernary w = ops::pack_ternary(at::randint(-1, 2, {24, 40}, at::kChar));
  const at::Tensor scale = at::randn({24, 1}).abs(), residual = at::randn({2, 3, 24});
  const at::Tensor y = ops::ternary_linear(x, w, scale, at::kFloat, residual);
  CHECK(y.sizes() == at::IntArrayRef({2, 3, 24}));
  const ops::RowCodes flat = {x.codes.view({6, 40}), x.scale.view({6, 1}), x.row_sums.view({6})};
  CHECK(same_bits(ops::ternary_linear(flat, w, scale, at::kFloat, residual.view({6, 24})),
                  y.view({6, 24})));
  ops::RowCodes strided = x;
  strided.codes = x.codes.transpose(0, 2).contiguous().transpose(0, 2);
  CHECK(same_bits(ops::ternary_linear(strided, w, scale, at::kFloat, residual), y));
  ops::RowCodes poisoned = x;
  poisoned.scale = x.scale.clone();
  poisoned.scale[1][2][0] = std::numeric_limits<float>::quiet_NaN();
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const at::Tensor out = ops::ternary_linear(poisoned, w, scale, type);
    CHECK(out[1][2].isnan().all().item<bool>());
    CHECK(out[1][1].isfinite().all().item<bool>());
  }
  CHECK(ops::ternary_linear(row_codes(at::randint(0, 2, {0, 40}, at::kChar)), w, scale, at::kFloat)
            .sizes() == at::IntArrayRef({0, 24}));
  const ops::RowCodes meta = {x.codes.to(at::kMeta), x.scale.to(at::kMeta),
                              x.row_sums.to(at::kMeta)};
  CHECK(test::alike(
      ops::ternary_linear(meta, {w.packed.to(at::kMeta), 24, 40}, scale.to(at::kMeta), at::kFloat),
      y));
}

TEST_CASE("the kernel that ran is the one of the path in use and of the number of rows",
          "[quant]") {
  const ops::PackedTernary w = ops::pack_ternary(at::randint(-1, 2, {24, 40}, at::kChar));
  on_every_path([&] {
    // Without VNNI the 256-bit kernels serve wider registers too.
    const CpuPath path = cpu_path() == CpuPath::kAvx512 ? CpuPath::kAvx2 : cpu_path();
    for (const int64_t rows : {1, 16, 17}) {
      const Kernel wanted = rows <= 16 ? Kernel::kTernaryFewRows : Kernel::kTernaryPanels;
      const Kernel other = rows <= 16 ? Kernel::kTernaryPanels : Kernel::kTernaryFewRows;
      const int64_t before = ops::kernel_calls(wanted, path),
                    unchanged = ops::kernel_calls(other, path);
      ops::ternary_linear(row_codes(at::randint(0, 2, {rows, 40}, at::kChar)), w, at::ones({1, 1}),
                          at::kFloat);
      CHECK(ops::kernel_calls(wanted, path) == before + 1);
      CHECK(ops::kernel_calls(other, path) == unchanged);
    }
  });
}

TEST_CASE("ternary_linear names the argument that does not fit", "[quant]") {
  using Catch::Matchers::Contains;
  const ops::RowCodes x = row_codes(at::randint(-128, 128, {3, 40}, at::kChar));
  const ops::PackedTernary w = ops::pack_ternary(at::randint(-1, 2, {24, 40}, at::kChar));
  const at::Tensor one = at::ones({1, 1});
  const auto call = [&](const ops::RowCodes& codes, const at::Tensor& scale,
                        const at::Tensor& residual) {
    ops::ternary_linear(codes, w, scale, at::kFloat, residual);
  };
  CHECK_THROWS_WITH(call({x.codes.narrow(1, 0, 39), x.scale, x.row_sums}, one, {}),
                    Contains("expected int8 codes [..., 40]"));
  CHECK_THROWS_WITH(call({x.codes, x.scale.view({3}), x.row_sums}, one, {}),
                    Contains("expected a fp32 scale [..., 1]"));
  CHECK_THROWS_WITH(call({x.codes, x.scale, x.row_sums.to(at::kLong)}, one, {}),
                    Contains("expected int32 row_sums [3]"));
  CHECK_THROWS_WITH(call(x, at::ones({24, 7}), {}), Contains("expected a fp32 w_scale"));
  CHECK_THROWS_WITH(call(x, one, at::ones({3, 23})), Contains("residual [3, 24]"));
  CHECK_THROWS_WITH(ops::ternary_linear(x, w, one, at::kHalf),
                    Contains("dtype must be float32 or bfloat16"));
}

}  // namespace
}  // namespace setun
