// nn/routing.h: gates, ties, the balance loss against its formula, and the grouping with its
// gradients against stock operators.
#include "nn/routing.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "support/catch.h"

namespace setun {
namespace {

at::Tensor random_logits(int64_t rows, int64_t experts, uint64_t seed) {
  return at::randn({rows, experts}, at::detail::createCPUGenerator(seed), at::kFloat);
}

TEST_CASE("gates are the softmax over all experts at the largest logits, in falling order") {
  const double ln2 = std::log(2.0);
  const at::Tensor logits = at::tensor({0.0, ln2, 2 * ln2, 0.0}, at::kFloat).view({1, 4});
  const Routing plain = route(logits, 2, false);
  CHECK(at::equal(plain.experts_NK, at::tensor({2, 1}, at::kLong).view({1, 2})));
  CHECK(at::allclose(plain.gates_NK, at::tensor({0.5f, 0.25f}).view({1, 2})));
  CHECK(at::equal(plain.counts_E, at::tensor({0, 1, 1, 0}, at::kLong)));
  const Routing normalized = route(logits, 2, true);
  CHECK(at::allclose(normalized.gates_NK, at::tensor({2 / 3.0f, 1 / 3.0f}).view({1, 2})));
}

TEST_CASE("of equal logits the lower expert is taken first, in every row") {
  const Routing even = route(at::zeros({300, 9}), 3, false);
  const at::Tensor first_three = at::arange(3, at::kLong).expand({300, 3});
  CHECK(at::equal(even.experts_NK, first_three));
  at::Tensor logits = at::full({2, 4}, -1e30f);
  logits.select(1, 3).fill_(-1e29f);
  CHECK(at::equal(route(logits, 2, false).experts_NK,
                  at::tensor({3, 0, 3, 0}, at::kLong).view({2, 2})));
}

TEST_CASE("the balance loss and its gradient equal E sum f P written out") {
  for (const int64_t active : {1, 2, 5}) {
    const at::Tensor logits = random_logits(37, 5, 3).requires_grad_();
    const at::Tensor wide = logits.detach().to(at::kDouble).requires_grad_();
    const Routing routing = route(logits, active, false);
    const at::Tensor chosen = std::get<1>(wide.detach().topk(active, 1));
    at::Tensor share = at::zeros({5}, at::kDouble);
    for (int64_t expert = 0; expert < 5; ++expert) {
      share[expert] = chosen.eq(expert).sum().item<double>() / static_cast<double>(37 * active);
    }
    const at::Tensor expected = 5 * (share * at::softmax(wide, 1).mean(0)).sum();
    CHECK(routing.balance.item<double>() == Approx(expected.item<double>()).epsilon(1e-6));
    routing.balance.backward();
    expected.backward();
    // Terms of up to 5 p / 37 cancel (with every expert active, all of them): their fp32 rounding.
    CHECK(at::allclose(logits.grad().to(at::kDouble), wide.grad(), 1e-5, 5.0 / 37 * 6e-8));
  }
}

TEST_CASE("the balance loss is 1 for an even load, whatever is active, and E for one busy expert") {
  at::Tensor even = at::zeros({6, 6}), busy = at::zeros({6, 6});
  even.fill_diagonal_(1.0);
  busy.select(1, 4).fill_(100.0);
  CHECK(route(even, 1, false).balance.item<double>() == Approx(1));
  CHECK(route(even, 6, false).balance.item<double>() == Approx(1));
  CHECK(route(busy, 1, false).balance.item<double>() == Approx(6));
}

TEST_CASE("pairs are ordered by expert and inside an expert by row") {
  const Routing routing = route(random_logits(50, 7, 5), 3, false);
  const ExpertOrder order = order_by_expert(routing);
  const at::Tensor experts = routing.experts_NK.reshape({-1}).index_select(0, order.pairs_M);
  CHECK(experts.diff().ge(0).all().item<bool>());
  const at::Tensor key = experts * 50 + order.rows_M;
  CHECK(key.diff().gt(0).all().item<bool>());  // a row chooses an expert once
  CHECK(at::equal(order.places_NK.reshape({-1}).index_select(0, order.pairs_M),
                  at::arange(150, at::kLong)));
  CHECK(at::equal(order.rows_M, order.pairs_M.div(3, "floor")));
  CHECK(at::equal(at::tensor(order.counts, at::kLong), routing.counts_E));
}

TEST_CASE("gathering rows and combining choices differentiate as stock indexing does") {
  for (const int64_t active : {1, 3}) {
    const Routing routing = route(random_logits(40, 6, 8), active, true);
    const ExpertOrder order = order_by_expert(routing);
    const at::Tensor x = random_logits(40, 10, 9).requires_grad_();
    const at::Tensor gates = routing.gates_NK.detach().requires_grad_();
    const at::Tensor x2 = x.detach().requires_grad_(), gates2 = gates.detach().requires_grad_();
    const at::Tensor upstream = random_logits(40, 10, 10);

    const at::Tensor sorted = to_expert_order(x, order);
    const at::Tensor out = combine_choices(sorted.tanh(), gates, order);
    const at::Tensor chosen = x2.index({order.rows_M}).tanh();
    const at::Tensor weights = gates2.reshape({-1}).index({order.pairs_M});
    const at::Tensor expected =
        at::zeros({40, 10}).index_add(0, order.rows_M, chosen * weights.unsqueeze(1));
    CHECK(at::equal(sorted, x2.index({order.rows_M})));
    CHECK(at::allclose(out, expected, 1e-5, 1e-6));
    out.backward(upstream);
    expected.backward(upstream);
    CHECK(at::allclose(x.grad(), x2.grad(), 1e-5, 1e-6));
    CHECK(at::allclose(gates.grad(), gates2.grad(), 1e-5, 1e-6));
  }
}

// Whole models are not compared: LibTorch's own products of a few rows differ between one thread
// and two on some processors.
TEST_CASE("one and two threads route, gather and combine to the same bits") {
  const int threads = at::get_num_threads();
  const auto results = [&](int count) {
    at::set_num_threads(count);
    const at::Tensor x = random_logits(700, 48, 1).requires_grad_();
    const at::Tensor logits = random_logits(700, 12, 2).requires_grad_();
    const Routing routing = route(logits, 3, true);
    const ExpertOrder order = order_by_expert(routing);
    const at::Tensor y = combine_choices(to_expert_order(x, order), routing.gates_NK, order);
    (y.square().sum() + 100 * routing.balance).backward();
    return std::vector<at::Tensor>{y.detach(), routing.balance.detach(), x.grad(), logits.grad()};
  };
  const auto one = results(1), two = results(2);
  at::set_num_threads(threads);
  for (size_t i = 0; i < one.size(); ++i) {
    INFO("tensor " << i);
    CHECK(at::equal(one[i], two[i]));
  }
}

}  // namespace
}  // namespace setun
