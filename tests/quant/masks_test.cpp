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

}  // namespace
}  // namespace setun
