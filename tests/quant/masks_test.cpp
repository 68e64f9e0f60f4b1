// topk_mask and nm_mask against a stable sort, on every path, thread count, layout and input type.
#include <ATen/ops/empty.h>

#include <limits>

#include "ops/cpu/reference.h"
#include "ops/ops.h"
#include "quant/tensors.h"
#include "support/catch.h"

namespace setun {
namespace {

using test::normal;
using test::on_every_path;
using test::row_of;
using test::same_bits;

void check_rows(const at::Tensor& mask, const at::Tensor& x, int64_t length, int64_t keep) {
  REQUIRE(mask.scalar_type() == at::kBool);
  REQUIRE(mask.sizes() == x.sizes());
  const at::Tensor rows = x.reshape({-1, length}), got = mask.reshape({-1, length}).contiguous();
  for (int64_t row = 0; row < rows.size(0); ++row) {
    const std::vector<bool> wanted = ops::reference::topk_mask(row_of(rows, row), keep);
    CHECK(std::equal(wanted.begin(), wanted.end(), got[row].const_data_ptr<bool>()));
  }
}

// Rows of the corners, and one of few distinct values: many ties.
at::Tensor rows_with_ties(int64_t width) {
  at::Tensor x = test::nasty_rows(width);
  x[4] = x[4].mul(2).round();
  x[5] = x[5].mul(1e38).clamp(-3e38, 3e38);
  return x;
}

TEST_CASE("topk_mask is the stable sort's on every path, width and k", "[quant]") {
  for (const int64_t width : {1, 2, 7, 31, 64, 65, 255, 4096, 4097}) {
    const at::Tensor x = rows_with_ties(width);
    for (const int64_t k : {int64_t{1}, (width + 1) / 2, width - width / 8, width}) {
      INFO("width " << width << ", k " << k);
      on_every_path([&] { check_rows(ops::topk_mask(x, k), x, width, k); });
    }
  }
}

TEST_CASE("nm_mask is the stable sort's in every m consecutive elements", "[quant]") {
  const at::Tensor x = rows_with_ties(384);
  for (const int64_t m : {1, 2, 3, 4, 32, 64, 128, 384}) {
    for (const int64_t n : {int64_t{1}, (m + 1) / 2, m}) {
      INFO(n << " of " << m);
      on_every_path([&] { check_rows(ops::nm_mask(x, n, m), x, m, n); });
    }
  }
}

TEST_CASE("masks: layout, input type, NaN and infinity, Meta, refused arguments", "[quant]") {
  using Catch::Matchers::Contains;
  const at::Tensor x = normal({6, 70, 96}, 1);
  const at::Tensor view = x.transpose(0, 2).contiguous().transpose(0, 2);
  REQUIRE_FALSE(view.is_contiguous());
  CHECK(same_bits(ops::topk_mask(view, 40), ops::topk_mask(x, 40)));
  CHECK(same_bits(ops::nm_mask(view, 16, 32), ops::nm_mask(x, 16, 32)));
  for (const at::ScalarType type : {at::kBFloat16, at::kHalf}) {
    const at::Tensor low = x.to(type);
    CHECK(same_bits(ops::topk_mask(low, 40), ops::topk_mask(low.to(at::kFloat), 40)));
  }
  for (const int64_t width : {10, 100}) {  // both ways of ranking
    at::Tensor bad = normal({1, width}, 2);
    bad[0][3] = std::numeric_limits<float>::infinity();
    bad[0][7] = -std::numeric_limits<float>::quiet_NaN();
    on_every_path([&] {
      CHECK(ops::topk_mask(bad, 1)[0][7].item<bool>());
      CHECK(ops::topk_mask(bad, 2)[0][3].item<bool>());
      CHECK(ops::topk_mask(bad, 2).sum().item<int>() == 2);
    });
  }
  CHECK(test::alike(ops::topk_mask(x.to(at::kMeta), 4), ops::topk_mask(x, 4)));
  CHECK(test::alike(ops::nm_mask(x.to(at::kMeta), 2, 4), ops::nm_mask(x, 2, 4)));
  CHECK_THROWS_WITH(ops::topk_mask(x, 0), Contains("k must be 1 to 96, the last dimension, got 0"));
  CHECK_THROWS_WITH(ops::topk_mask(x, 97), Contains("got 97"));
  CHECK_THROWS_WITH(ops::nm_mask(x, 2, 5),
                    Contains("m 5 does not divide the last dimension of 96"));
  CHECK_THROWS_WITH(ops::nm_mask(x, 5, 4), Contains("n must be 1 to m = 4, got 5"));
}

TEST_CASE("a mask as bits keeps what the mask keeps", "[quant]") {
  using Catch::Matchers::Contains;
  for (const int64_t width : {1, 8, 31, 32, 33, 96, 1000}) {
    at::Tensor x = normal({3, 5, width}, 3);
    x[1][2][0] = std::numeric_limits<float>::quiet_NaN();
    const at::Tensor keep = normal({3, 5, width}, 4).gt(0), bits = ops::pack_mask(keep);
    CHECK(bits.sizes() == at::IntArrayRef({3, 5, (width + 31) / 32}));
    for (int64_t i = 0; i < width; ++i) {
      CHECK(bits.select(2, i / 32).bitwise_right_shift(i % 32).bitwise_and(1).to(at::kBool).equal(
          keep.select(2, i)));
    }
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      const at::Tensor dy = x.to(type);
      CHECK(same_bits(ops::apply_mask(dy, bits), at::where(keep, dy, at::zeros_like(dy))));
      CHECK(same_bits(ops::apply_mask(dy.transpose(0, 1), ops::pack_mask(keep.transpose(0, 1))),
                      ops::apply_mask(dy, bits).transpose(0, 1).contiguous()));
    }
    CHECK(test::alike(ops::pack_mask(keep.to(at::kMeta)), bits));
    CHECK(test::alike(ops::apply_mask(x.to(at::kMeta), bits.to(at::kMeta)), x));
  }
  const at::Tensor keep = at::ones({2, 40}, at::kBool);
  CHECK_THROWS_WITH(ops::pack_mask(at::ones({2, 40})), Contains("expected a bool mask"));
  CHECK_THROWS_WITH(ops::apply_mask(at::ones({2, 70}), ops::pack_mask(keep)),
                    Contains("expected int32 bits of pack_mask [2, 3], got Int [2, 2]"));
  CHECK_THROWS_WITH(ops::apply_mask(at::ones({2, 40}, at::kDouble), ops::pack_mask(keep)),
                    Contains("expected fp32 or bf16"));
}

}  // namespace
}  // namespace setun
