// loss/cross_entropy.h against log_softmax + nll_loss in double, ignored targets, and low
// precision.
#include "loss/cross_entropy.h"

#include <ATen/ATen.h>

#include "base/ignore_target.h"
#include "support/catch.h"

namespace setun {
namespace {

at::Tensor targets_with_gaps(at::IntArrayRef shape, int64_t vocab) {
  at::Tensor targets = at::randint(vocab, shape, at::kLong);
  targets.view({-1}).slice(0, 0, targets.numel(), 3).fill_(kIgnoreTarget);
  return targets;
}

TEST_CASE("value and gradient equal the composite in double, over several slices of rows") {
  const int64_t vocab = 70000;  // 15 rows a slice: 28 rows take two
  const at::Tensor logits = at::randn({4, 7, vocab}).requires_grad_();
  const at::Tensor targets = targets_with_gaps({4, 7}, vocab);
  const TokenLoss loss = cross_entropy_sum(logits, targets);
  (loss.sum * 0.25).backward();

  const at::Tensor exact = logits.detach().to(at::kDouble).requires_grad_();
  const at::Tensor reference = at::cross_entropy_loss(exact.view({-1, vocab}), targets.view({-1}),
                                                      {}, at::Reduction::Sum, kIgnoreTarget);
  (reference * 0.25).backward();
  CHECK(loss.sum.item<double>() == Approx(reference.item<double>()).epsilon(1e-6));
  CHECK(loss.valid() == 18);
  CHECK(at::allclose(logits.grad().to(at::kDouble), exact.grad(), 1e-5, 1e-8));
}

TEST_CASE("ignored targets count for nothing, whatever their logits") {
  at::Tensor logits = at::randn({1, 6, 11});
  const at::Tensor targets = targets_with_gaps({1, 6}, 11);
  const double before = cross_entropy_sum(logits, targets).sum.item<double>();
  logits[0][3].fill_(-std::numeric_limits<float>::infinity());
  CHECK(cross_entropy_sum(logits, targets).sum.item<double>() == before);

  const at::Tensor leaf = at::randn({1, 6, 11}).requires_grad_();
  cross_entropy_sum(leaf, targets).sum.backward();
  CHECK(leaf.grad()[0][0].abs().sum().item<double>() == 0);
  CHECK(leaf.grad()[0][1].abs().sum().item<double>() > 0);
}

TEST_CASE("a batch without valid targets has loss and gradient zero") {
  const at::Tensor logits = at::randn({1, 2, 5}).requires_grad_();
  const TokenLoss loss = cross_entropy_sum(logits, at::full({1, 2}, kIgnoreTarget, at::kLong));
  CHECK(loss.valid() == 0);
  CHECK(loss.sum.item<double>() == 0);
  loss.sum.backward();
  CHECK(logits.grad().abs().sum().item<double>() == 0);
}

TEST_CASE("bf16 logits are computed in fp32 and get bf16 gradients") {
  const at::Tensor logits = at::randn({2, 5, 300}).to(at::kBFloat16).requires_grad_();
  const at::Tensor targets = targets_with_gaps({2, 5}, 300);
  const TokenLoss loss = cross_entropy_sum(logits, targets);
  const at::Tensor wide = logits.detach().to(at::kFloat).requires_grad_();
  const TokenLoss reference = cross_entropy_sum(wide, targets);
  CHECK(loss.sum.scalar_type() == at::kFloat);
  CHECK(loss.sum.item<float>() == reference.sum.item<float>());
  loss.sum.backward();
  reference.sum.backward();
  CHECK(logits.grad().scalar_type() == at::kBFloat16);
  CHECK(at::allclose(logits.grad().to(at::kFloat), wide.grad(), 1.0 / 256, 1e-6));
}

TEST_CASE("large logits neither overflow nor lose the result") {
  at::Tensor logits = at::zeros({1, 1, 4});
  logits[0][0][2] = 3e4;
  CHECK(cross_entropy_sum(logits, at::full({1, 1}, 2, at::kLong)).sum.item<double>() == 0);
  CHECK(cross_entropy_sum(logits, at::full({1, 1}, 0, at::kLong)).sum.item<double>() == 3e4);
}

TEST_CASE("targets of another shape are refused") {
  CHECK_THROWS_WITH(cross_entropy_sum(at::zeros({2, 3, 5}), at::zeros({2, 2}, at::kLong)),
                    Catch::Contains("targets of the same leading shape"));
}

}  // namespace
}  // namespace setun
