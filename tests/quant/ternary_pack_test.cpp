// Packed ternary weights: the layout's reference bit for bit on every path, and the fused quantizer
// against quantize_absmean.
#include <ATen/ops/empty.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/tensor.h>

#include <limits>

#include "ops/cpu/reference.h"
#include "ops/ops.h"
#include "quant/tensors.h"
#include "support/catch.h"

namespace setun {
namespace {

using test::alike;
using test::normal;
using test::on_every_path;
using test::same_bits;

constexpr double kEps = 1e-5;

at::Tensor random_codes(int64_t rows, int64_t columns) {
  at::manual_seed(static_cast<uint64_t>(rows * 131 + columns));
  return at::randint(-1, 2, {rows, columns}, at::kChar);
}

std::vector<int8_t> values(const at::Tensor& codes) {
  const at::Tensor flat = codes.contiguous();
  return {flat.const_data_ptr<int8_t>(), flat.const_data_ptr<int8_t>() + flat.numel()};
}

struct Shape {
  int64_t rows, columns;
};
const std::vector<Shape> kShapes = {{1, 1},    {1, 16},  {16, 16},  {15, 17},   {17, 15},
                                    {33, 100}, {64, 64}, {70, 257}, {128, 1024}};

TEST_CASE("packed codes are the reference's bytes and unpack to themselves", "[quant]") {
  for (const Shape& shape : kShapes) {
    const int64_t rows = shape.rows, columns = shape.columns;
    INFO(rows << " x " << columns);
    const at::Tensor codes = random_codes(rows, columns);
    const auto wanted = ops::reference::pack_ternary(values(codes), rows, columns);
    on_every_path([&] {
      const ops::PackedTernary w = ops::pack_ternary(codes);
      REQUIRE(w.packed.numel() == static_cast<int64_t>(wanted.size()));
      CHECK(std::memcmp(w.packed.const_data_ptr<uint8_t>(), wanted.data(), wanted.size()) == 0);
      for (const at::ScalarType type : {at::kChar, at::kFloat, at::kBFloat16}) {
        CHECK(same_bits(ops::unpack_ternary(w, type), codes.to(type)));
      }
      const ops::PackedTernary transposed = ops::transpose_ternary(w);
      CHECK(transposed.rows == columns);
      CHECK(transposed.columns == rows);
      CHECK(same_bits(transposed.packed, ops::pack_ternary(codes.t().contiguous()).packed));
    });
    CHECK(same_bits(ops::pack_ternary(codes.t()).packed,
                    ops::pack_ternary(codes.t().contiguous()).packed));
  }
}

void check_quantize_pack(const at::Tensor& w, int64_t group) {
  const ops::Codes wanted = ops::quantize_absmean(w, group, kEps);
  const ops::PackedWeight got = ops::quantize_pack_absmean(w, group, kEps);
  CHECK(same_bits(got.scale, wanted.scale));
  CHECK(same_bits(got.codes.packed, ops::pack_ternary(wanted.codes).packed));
  const at::Tensor counts = at::tensor({wanted.codes.eq(-1).sum().item<int64_t>(),
                                        wanted.codes.eq(0).sum().item<int64_t>(),
                                        wanted.codes.eq(1).sum().item<int64_t>()});
  CHECK(same_bits(got.counts, counts));
  const ops::PackedWeight again = ops::quantize_pack_scaled(w, wanted.scale);
  CHECK(same_bits(again.codes.packed, got.codes.packed));
  CHECK(same_bits(again.counts, counts));
}

TEST_CASE("quantize_pack_absmean gives quantize_absmean's codes and scales bit for bit",
          "[quant]") {
  for (const Shape& shape : kShapes) {
    const int64_t rows = shape.rows, columns = shape.columns;
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kHalf}) {
      INFO(rows << " x " << columns << " " << type);
      const at::Tensor w = normal({rows, columns}, rows).mul(0.02).to(type);
      on_every_path([&] {
        check_quantize_pack(w, 0);
        check_quantize_pack(w, columns);
        check_quantize_pack(w.t(), 0);
      });
    }
  }
  on_every_path([&] {
    check_quantize_pack(normal({40, 96}, 3), 32);
    check_quantize_pack(normal({40, 96}, 3), 12);
    check_quantize_pack(normal({3, 10000}, 4), 5000);  // a group longer than a block of the sum
    check_quantize_pack(at::zeros({20, 20}), 0);
  });
}

TEST_CASE("a weight that is not finite has a NaN scale and zero codes, packed too", "[quant]") {
  at::Tensor w = normal({20, 40}, 5);
  w[3][7] = std::numeric_limits<float>::infinity();
  on_every_path([&] {
    CHECK(ops::quantize_pack_absmean(w, 0, kEps).scale.isnan().all().item<bool>());
    check_quantize_pack(w, 0);
    check_quantize_pack(w, 40);
  });
}

TEST_CASE("packed weights: Meta shapes and refused arguments", "[quant]") {
  using Catch::Matchers::Contains;
  const at::Tensor w = normal({20, 40}, 6);
  const ops::PackedWeight real = ops::quantize_pack_absmean(w, 8, kEps);
  const ops::PackedWeight meta = ops::quantize_pack_absmean(w.to(at::kMeta), 8, kEps);
  CHECK(alike(meta.codes.packed, real.codes.packed));
  CHECK(alike(meta.scale, real.scale));
  CHECK(alike(meta.counts, real.counts));
  CHECK(alike(ops::quantize_pack_scaled(w.to(at::kMeta), real.scale.to(at::kMeta)).counts,
              real.counts));
  const ops::PackedTernary packed = ops::pack_ternary(random_codes(20, 40).to(at::kMeta));
  CHECK(alike(packed.packed, real.codes.packed));
  CHECK(ops::unpack_ternary(packed, at::kBFloat16).sizes() == at::IntArrayRef({20, 40}));
  CHECK(alike(ops::transpose_ternary(packed).packed, ops::transpose_ternary(real.codes).packed));
  CHECK_THROWS_WITH(ops::pack_ternary(at::tensor({2, 0}).to(at::kChar).view({1, 2})),
                    Contains("expected codes of -1, 0 and 1"));
  CHECK_THROWS_WITH(ops::pack_ternary(w), Contains("expected int8 codes [out, in]"));
  CHECK_THROWS_WITH(ops::unpack_ternary({real.codes.packed, 33, 40}, at::kChar),
                    Contains("bytes packed by pack_ternary"));
  CHECK_THROWS_WITH(ops::unpack_ternary(real.codes, at::kHalf),
                    Contains("dtype must be int8, float32 or bfloat16"));
  CHECK_THROWS_WITH(ops::quantize_pack_absmean(w, 7, kEps), Contains("group 7 does not divide"));
  CHECK_THROWS_WITH(ops::quantize_pack_scaled(w, normal({20, 3}, 1)),
                    Contains("expected a fp32 scale [1, 1] or [20, groups]"));
}

}  // namespace
}  // namespace setun
