// ops::cross_entropy_rows and its in-place form: the double-precision formula, equal bits on every
// path and thread count, ignored rows, and what is not finite.
#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "base/ignore_target.h"
#include "ops/cpu/reference_step.h"
#include "ops/step_ops.h"
#include "quant/tensors.h"
#include "support/catch.h"

namespace setun {
namespace {

using test::normal;
using test::on_every_path;
using test::same_bits;

constexpr double kUlp = std::numeric_limits<float>::epsilon();

struct Rows {
  at::Tensor losses, gradient;
};

Rows run(const at::Tensor& logits, const at::Tensor& targets) {
  at::Tensor gradient = logits.clone();
  const at::Tensor losses = ops::cross_entropy_rows_(gradient, targets);
  CHECK(same_bits(losses, ops::cross_entropy_rows(logits, targets)));
  return {losses, gradient};
}

// Rows of usual size, far apart, equal, and with a spread the exponential flushes to 0.
at::Tensor hard_logits(int64_t vocab) {
  at::Tensor logits = normal({5, vocab}, vocab);
  logits[1].mul_(30).add_(1000);
  logits[2].fill_(-3);
  logits[3].mul_(1000);
  return logits;
}

at::Tensor spread_targets(int64_t vocab) {
  return at::tensor({int64_t{0}, vocab - 1, vocab / 2, vocab / 3, kIgnoreTarget});
}

TEST_CASE(
    "cross-entropy of rows and its derivative: the double-precision formula, equal bits on "
    "every path and thread count",
    "[quant]") {
  for (const int64_t vocab : test::kWidths) {
    INFO("vocabulary " << vocab);
    const at::Tensor logits = hard_logits(vocab), targets = spread_targets(vocab);
    force_cpu_path(CpuPath::kScalar);
    const Rows wanted = run(logits, targets);
    for (int64_t row = 0; row < 4; ++row) {
      const std::vector<float> z = test::row_of(logits, row);
      const int64_t target = targets[row].item<int64_t>();
      const ops::reference::RowLoss exact =
          ops::reference::cross_entropy({z.begin(), z.end()}, static_cast<std::size_t>(target));
      // exp is 2 ulp, its argument z - max a rounding of |z - max|, which e^-87 makes harmless
      CHECK(std::abs(wanted.losses[row].item<double>() - exact.loss) <=
            4 * kUlp * (1 + std::abs(exact.loss)) + 1e-3 * kUlp * 1000);
      const std::vector<float> dz = test::row_of(wanted.gradient, row);
      for (std::size_t i = 0; i < dz.size(); ++i) {
        // relative to the probability: 87 half ulp of the argument, exp, sum, two products
        CHECK(std::abs(dz[i] - exact.gradient[i]) <=
              64 * kUlp * (exact.gradient[i] < 0 ? 1 + exact.gradient[i] : exact.gradient[i]) +
                  kUlp * (exact.gradient[i] < 0 ? 1 : 0) + 1e-37);
      }
    }
    CHECK(wanted.losses[4].item<float>() == 0);
    CHECK(wanted.gradient[4].abs().sum().item<float>() == 0);
    on_every_path([&] {
      const Rows got = run(logits, targets);
      CHECK(same_bits(got.losses, wanted.losses));
      CHECK(same_bits(got.gradient, wanted.gradient));
    });
  }
}

TEST_CASE("cross-entropy of bf16 rows is that of their values, the derivative rounded once",
          "[quant]") {
  const at::Tensor logits = hard_logits(301).to(at::kBFloat16), targets = spread_targets(301);
  const Rows wide = run(logits.to(at::kFloat), targets);
  on_every_path([&] {
    const Rows got = run(logits, targets);
    CHECK(same_bits(got.losses, wide.losses));
    CHECK(same_bits(got.gradient, wide.gradient.to(at::kBFloat16)));
  });
}

TEST_CASE("cross-entropy of rows hides nothing that is not finite, but in ignored rows",
          "[quant]") {
  const float inf = std::numeric_limits<float>::infinity();
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    at::Tensor logits = normal({5, 70}, 1);
    logits[0][0] = std::nanf("");
    logits[1][69] = inf;
    logits[2][33] = -inf;  // a class that is ruled out
    logits[3].fill_(-inf);
    logits[4][7] = std::nanf("");
    logits = logits.to(type);
    const at::Tensor targets =
        at::tensor({int64_t{3}, int64_t{3}, int64_t{3}, int64_t{3}, kIgnoreTarget});
    on_every_path([&] {
      const Rows got = run(logits, targets);
      CHECK(got.losses[0].isnan().item<bool>());
      CHECK_FALSE(got.losses[1].isfinite().item<bool>());
      CHECK(got.losses[2].isfinite().item<bool>());
      CHECK(got.gradient[2][33].item<float>() == 0);
      CHECK(got.losses[3].isnan().item<bool>());
      CHECK(got.gradient[0].isnan().any().item<bool>());
      CHECK(got.losses[4].item<float>() == 0);
      CHECK(got.gradient[4].abs().sum().item<float>() == 0);
    });
    CHECK(ops::cross_entropy_rows(logits, at::full({5}, 33, at::kLong))[2].item<float>() == inf);
  }
}

TEST_CASE("cross-entropy of rows: layouts, Meta and refused arguments", "[quant]") {
  using Catch::Matchers::Contains;
  const at::Tensor wide = normal({4, 60}, 1), targets = at::zeros({4}, at::kLong);
  const at::Tensor part = wide.narrow(1, 10, 30);
  CHECK(same_bits(ops::cross_entropy_rows(part, targets),
                  ops::cross_entropy_rows(part.contiguous(), targets)));
  at::Tensor in_place = part;
  CHECK_THROWS_WITH(ops::cross_entropy_rows_(in_place, targets), Contains("contiguous logits"));
  CHECK(ops::cross_entropy_rows(wide.to(at::kMeta), targets.to(at::kMeta)).sizes() ==
        targets.sizes());
  CHECK_THROWS_WITH(ops::cross_entropy_rows(wide, targets.add(60)),
                    Contains("target 60 of row") && Contains("is not one of the 60 classes"));
  CHECK_THROWS_WITH(ops::cross_entropy_rows(wide, targets.narrow(0, 0, 3)),
                    Contains("expected int64 targets [4], got Long [3]"));
  CHECK_THROWS_WITH(ops::cross_entropy_rows(wide.to(at::kHalf), targets),
                    Contains("fp32 or bf16 logits"));
}

}  // namespace
}  // namespace setun
