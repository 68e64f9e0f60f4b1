// loss/linear_cross_entropy.h against the product and log-softmax in double and against the logits
// path; what a model uses it for; that the logits are never all in memory.
#include "loss/linear_cross_entropy.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "base/head_chunk.h"
#include "base/ignore_target.h"
#include "eval/token_loss.h"
#include "model/counting_allocator.h"
#include "model/tiny_model.h"
#include "ops/kernel_calls.h"
#include "support/catch.h"

namespace setun {
namespace {

at::Tensor targets_with_gaps(at::IntArrayRef shape, int64_t vocab) {
  at::Tensor targets = at::randint(vocab, shape, at::kLong);
  targets.view({-1}).slice(0, 0, targets.numel(), 3).fill_(kIgnoreTarget);
  return targets;
}

struct Outcome {
  double loss;
  at::Tensor d_hidden, d_weight;
};

Outcome fused(const at::Tensor& hidden_in, const at::Tensor& weight_in, const at::Tensor& targets,
              at::ScalarType compute, double scale) {
  const at::Tensor hidden = hidden_in.detach().requires_grad_(),
                   weight = weight_in.detach().requires_grad_();
  const TokenLoss loss = linear_cross_entropy_sum(hidden, weight, targets, compute);
  CHECK(loss.valid() == targets.ne(kIgnoreTarget).sum().item<int64_t>());
  (loss.sum * scale).backward();
  return {loss.sum.item<double>(), hidden.grad(), weight.grad()};
}

// The composition in one dtype throughout.
Outcome composite(const at::Tensor& hidden_in, const at::Tensor& weight_in,
                  const at::Tensor& targets, at::ScalarType type, double scale) {
  const at::Tensor hidden = hidden_in.detach().to(type).requires_grad_(),
                   weight = weight_in.detach().to(type).requires_grad_();
  const at::Tensor logits = at::linear(hidden, weight);
  const at::Tensor wide = type == at::kDouble ? logits : logits.to(at::kFloat);
  const at::Tensor loss = at::cross_entropy_loss(
      wide.view({-1, weight.size(0)}), targets.view({-1}), {}, at::Reduction::Sum, kIgnoreTarget);
  (loss * scale).backward();
  return {loss.item<double>(), hidden.grad(), weight.grad()};
}

double relative(const at::Tensor& got, const at::Tensor& want) {
  const at::Tensor wide = want.to(at::kDouble);
  return (got.to(at::kDouble) - wide).norm().item<double>() / wide.norm().item<double>();
}

TEST_CASE(
    "loss and gradients equal the composition in double as fp32 does, over one chunk and several") {
  for (const auto& [vocab, dim] : {std::pair<int64_t, int64_t>{37, 24}, {700'000, 5}}) {
    const at::Tensor hidden = at::randn({4, 7, dim}), weight = at::randn({vocab, dim});
    const at::Tensor targets = targets_with_gaps({4, 7}, vocab);
    CHECK((head_chunk_rows(vocab, 4) < 28) == (vocab == 700'000));  // 11 rows: a last chunk of 6
    const Outcome got = fused(hidden, weight, targets, at::kFloat, 0.25);
    const Outcome want = composite(hidden, weight, targets, at::kDouble, 0.25);
    CHECK(got.loss == Approx(want.loss).epsilon(1e-6));
    // 700,000 terms of a sum in fp32 have an error of their own: the composition's in fp32 counts
    const Outcome plain = composite(hidden, weight, targets, at::kFloat, 0.25);
    CHECK(relative(got.d_hidden, want.d_hidden) <
          1e-6 + 2 * relative(plain.d_hidden, want.d_hidden));
    CHECK(relative(got.d_weight, want.d_weight) <
          1e-6 + 2 * relative(plain.d_weight, want.d_weight));
  }
}

TEST_CASE("with bf16 products the error is that of the logits path in bf16") {
  const at::Tensor hidden = at::randn({6, 50, 64}), weight = at::randn({1000, 64}) * 0.2;
  const at::Tensor targets = targets_with_gaps({6, 50}, 1000);
  const Outcome exact = composite(hidden, weight, targets, at::kDouble, 1.0);
  const Outcome plain = composite(hidden, weight, targets, at::kBFloat16, 1.0);
  const Outcome got = fused(hidden, weight, targets, at::kBFloat16, 1.0);
  CHECK(got.d_hidden.scalar_type() == at::kFloat);
  CHECK(got.d_weight.scalar_type() == at::kFloat);
  CHECK(std::abs(got.loss - exact.loss) <= 2 * std::abs(plain.loss - exact.loss) + 1e-3);
  CHECK(relative(got.d_hidden, exact.d_hidden) <= 1.1 * relative(plain.d_hidden, exact.d_hidden));
  CHECK(relative(got.d_weight, exact.d_weight) <= 1.1 * relative(plain.d_weight, exact.d_weight));
}

TEST_CASE("hidden states in bf16 or as a view give gradients of their type and shape") {
  const at::Tensor weight = at::randn({20, 8}), targets = targets_with_gaps({3, 5}, 20);
  const at::Tensor wide = at::randn({3, 5, 16});
  const Outcome view = fused(wide.narrow(2, 8, 8), weight, targets, at::kFloat, 1.0);
  const Outcome dense = fused(wide.narrow(2, 8, 8).contiguous(), weight, targets, at::kFloat, 1.0);
  CHECK(at::equal(view.d_hidden, dense.d_hidden));
  CHECK(at::equal(view.d_weight, dense.d_weight));
  const Outcome low =
      fused(wide.narrow(2, 0, 8).to(at::kBFloat16), weight, targets, at::kBFloat16, 1.0);
  CHECK(low.d_hidden.scalar_type() == at::kBFloat16);
  CHECK(low.d_hidden.sizes() == at::IntArrayRef({3, 5, 8}));
}

TEST_CASE("one and two threads give equal bits") {
  const at::Tensor hidden = at::randn({8, 64, 48}), weight = at::randn({500, 48});
  const at::Tensor targets = targets_with_gaps({8, 64}, 500);
  const int threads = at::get_num_threads();
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    at::set_num_threads(1);
    const Outcome one = fused(hidden, weight, targets, type, 0.1);
    at::set_num_threads(2);
    const Outcome two = fused(hidden, weight, targets, type, 0.1);
    at::set_num_threads(threads);
    CHECK(one.loss == two.loss);
    CHECK(at::equal(one.d_hidden, two.d_hidden));
    CHECK(at::equal(one.d_weight, two.d_weight));
  }
}

TEST_CASE("only what is asked for is computed, and backward runs once") {
  const at::Tensor hidden = at::randn({2, 3, 4}), weight = at::randn({9, 4});
  const at::Tensor targets = at::randint(9, {2, 3}, at::kLong);
  const double value =
      linear_cross_entropy_sum(hidden, weight, targets, at::kFloat).sum.item<double>();
  const Outcome both = fused(hidden, weight, targets, at::kFloat, 1.0);
  CHECK(both.loss == value);
  const at::Tensor leaf = weight.clone().requires_grad_();
  {
    const c10::NoGradGuard no_grad;
    CHECK_FALSE(linear_cross_entropy_sum(hidden, leaf, targets, at::kFloat).sum.requires_grad());
  }
  const at::Tensor sum = linear_cross_entropy_sum(hidden, leaf, targets, at::kFloat).sum;
  sum.backward({}, /*retain_graph=*/true);
  CHECK(at::equal(leaf.grad(), both.d_weight));
  CHECK_THROWS_WITH(sum.backward(), Catch::Contains("backward ran twice"));
  const at::Tensor input = hidden.clone().requires_grad_();
  linear_cross_entropy_sum(input, weight, targets, at::kFloat).sum.backward();
  CHECK(at::equal(input.grad(), both.d_hidden));
}

TEST_CASE("a batch without valid targets has loss and gradients zero") {
  const Outcome got = fused(at::randn({1, 2, 3}), at::randn({5, 3}),
                            at::full({1, 2}, kIgnoreTarget, at::kLong), at::kFloat, 1.0);
  CHECK(got.loss == 0);
  CHECK(got.d_hidden.abs().sum().item<double>() == 0);
  CHECK(got.d_weight.abs().sum().item<double>() == 0);
}

TEST_CASE("shapes and types that do not fit are refused") {
  using Catch::Matchers::Contains;
  const at::Tensor hidden = at::zeros({2, 3, 4}), targets = at::zeros({2, 3}, at::kLong);
  CHECK_THROWS_WITH(linear_cross_entropy_sum(hidden, at::zeros({5, 3}), targets, at::kFloat),
                    Contains("expected a fp32 head [V, 4], got Float [5, 3]"));
  CHECK_THROWS_WITH(
      linear_cross_entropy_sum(hidden, at::zeros({5, 4}), targets.narrow(0, 0, 1), at::kFloat),
      Contains("targets of the same leading shape"));
}

TEST_CASE("the logits are never all in memory") {
  const int64_t vocab = 20000, dim = 16, tokens = 2048;  // 164 MB of logits
  const at::Tensor hidden = at::randn({1, tokens, dim}).requires_grad_(),
                   weight = at::randn({vocab, dim}).requires_grad_();
  const at::Tensor targets = at::randint(vocab, {1, tokens}, at::kLong);
  auto& memory = test::CountingAllocator::instance();
  memory.take_peak();
  const int64_t before = memory.live();
  linear_cross_entropy_sum(hidden, weight, targets, at::kFloat).sum.backward();
  const int64_t peak = memory.take_peak() - before;
  const int64_t gradients = 4 * (tokens + vocab) * dim;
  CHECK(peak < kHeadChunkBytes + 2 * gradients + (4 << 20));
  CHECK(peak > kHeadChunkBytes / 2);  // the counter sees the chunk
}

TEST_CASE("a model's loss is that of its logits: tied, untied and quantized heads") {
  for (const bool tied : {true, false}) {
    for (const bool quantized_head : {false, true}) {
      if (tied && quantized_head) {
        continue;  // a tied head is the embedding
      }
      ModelOptions options = test::tiny_options();
      options.tied_embeddings = tied;
      test::TinyModel a(options, test::ternary_spec()), b(options, test::ternary_spec());
      const at::Tensor tokens = test::random_tokens({3, 14}, 41),
                       targets = test::random_tokens({3, 14}, 41, 8);
      if (quantized_head) {
        QuantPlan plan = test::uniform_plan(options, test::ternary_spec());
        plan.phases[0].specs.back() = test::ternary_spec();
        a.context = QuantContext(plan);
        b.context = QuantContext(plan);
        a.context.begin_step({});
        b.context.begin_step({});
      }
      CHECK(a.model->plain_head(a.context).defined() == !quantized_head);
      const TokenLoss loss = token_loss(a.model, a.context, tokens, targets, {});
      loss.sum.backward();
      a.context.backward_to_latents();
      CHECK(loss.sum.item<double>() == Approx(b.backward(tokens, targets)).epsilon(1e-6));
      const auto expected = b.model->named_parameters();
      for (const auto& item : a.model->named_parameters()) {
        INFO(item.key());
        CHECK(relative(item.value().grad(), expected[item.key()].grad()) < 1e-5);
      }
    }
  }
}

TEST_CASE("an 8-bit head serves evaluation alone, from logits that are near") {
  test::TinyModel plain(test::tiny_options(), test::ternary_spec()),
      int8(test::tiny_options(), test::ternary_spec());
  int8.context = QuantContext(int8.context.plan(), {.inference_head = InferenceHead::kInt8});
  int8.context.begin_step({});
  const at::Tensor tokens = test::random_tokens({3, 14}, 41),
                   targets = test::random_tokens({3, 14}, 41, 8);
  const auto loss_of = [&](test::TinyModel& tiny) {
    return token_loss(tiny.model, tiny.context, tokens, targets, {}).sum.item<double>();
  };
  CHECK(loss_of(int8) == loss_of(plain));  // with gradients: as ever
  CHECK_FALSE(int8.model->has_int8_head(int8.context));
  const c10::NoGradGuard no_grad;
  CHECK(int8.model->has_int8_head(int8.context));
  CHECK_FALSE(plain.model->has_int8_head(plain.context));
  const int64_t calls = ops::kernel_calls(Kernel::kInt8Linear, cpu_path());
  const double exact = loss_of(plain), rounded = loss_of(int8);
  CHECK(ops::kernel_calls(Kernel::kInt8Linear, cpu_path()) == calls + 1);
  CHECK(rounded != exact);
  CHECK(std::abs(rounded - exact) < 1e-3 * exact);
  const at::Tensor logits = plain.logits(tokens), near = int8.logits(tokens);
  CHECK(test::max_difference(near, logits) < 0.03 * logits.std().item<double>());
  // the codes follow the weight
  int8.model->embed->weight.mul_(2);
  int8.context.invalidate();
  CHECK(test::max_difference(int8.logits(tokens), near) > 0.1 * logits.std().item<double>());
}

}  // namespace
}  // namespace setun
