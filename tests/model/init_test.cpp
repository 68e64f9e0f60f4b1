// initialise(): determinism, independence of order and threads, and the spread of each kind.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cmath>

#include "base/counter_rng.h"
#include "model/tiny_model.h"
#include "support/catch.h"

namespace setun {
namespace {

double spread(const at::Tensor& weight) { return weight.pow(2).mean().sqrt().item<double>(); }

TEST_CASE(
    "the seed alone decides the parameters, whatever else was drawn and on any thread count") {
  const ModelOptions options = test::tiny_options();
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  test::TinyModel first(options, {}, 5);
  at::randn({100});
  at::set_num_threads(2);
  test::TinyModel second(options, {}, 5), other(options, {}, 6);
  at::set_num_threads(threads);
  const auto b = second.model->named_parameters(), c = other.model->named_parameters();
  for (const auto& item : first.model->named_parameters()) {
    INFO(item.key());
    CHECK(at::equal(item.value(), b[item.key()]));
    CHECK(at::equal(item.value(), c[item.key()]) == (item.value().dim() == 1));
  }
}

TEST_CASE("a parameter's draws do not depend on the other parameters") {
  ModelOptions options = test::tiny_options();
  test::TinyModel small(options);
  options.layers = 3;
  options.tied_embeddings = false;
  test::TinyModel large(options);
  const auto all = large.model->named_parameters();
  for (const auto& item : small.model->named_parameters()) {
    CHECK(at::equal(item.value(), all[item.key()]));
  }
}

TEST_CASE("the global generator is left alone") {
  at::manual_seed(3);
  const at::Tensor expected = at::randn({4});
  at::manual_seed(3);
  test::TinyModel tiny(test::tiny_options());
  CHECK(at::equal(at::randn({4}), expected));
}

TEST_CASE("each kind gives its spread; gains are one") {
  ModelOptions options{.vocab_size = 500,
                       .hidden = 128,
                       .layers = 8,
                       .heads = 2,
                       .ffn = 256,
                       .tied_embeddings = false};
  options.init.std = 0.05;
  const auto spread_of = [&](InitKind kind, const std::string& name) {
    options.init.kind = kind;
    test::TinyModel tiny(options);
    return spread(tiny.model->named_parameters()[name]);
  };
  const auto near = [](double value) { return Approx(value).epsilon(0.03); };
  CHECK(spread_of(InitKind::kNormal, "blocks.3.attn.o.weight") == near(0.05));
  CHECK(spread_of(InitKind::kNormal, "embed.weight") == near(0.05));
  CHECK(spread_of(InitKind::kNormal, "head.weight") == near(0.05));
  CHECK(spread_of(InitKind::kResidualScaled, "blocks.3.attn.o.weight") == near(0.05 / 4));
  CHECK(spread_of(InitKind::kResidualScaled, "blocks.7.ffn.down.weight") == near(0.05 / 4));
  CHECK(spread_of(InitKind::kResidualScaled, "blocks.7.ffn.up.weight") == near(0.05));
  CHECK(spread_of(InitKind::kFanIn, "blocks.0.ffn.down.weight") == near(1 / 16.0));
  CHECK(spread_of(InitKind::kFanIn, "blocks.0.ffn.up.weight") == near(1 / std::sqrt(128.0)));
  CHECK(spread_of(InitKind::kFanIn, "embed.weight") == near(0.05));
  test::TinyModel tiny(options);
  CHECK(at::equal(tiny.model->norm->weight, at::ones({128})));
}

TEST_CASE("draws are standard normal: mean, variance, tails") {
  ModelOptions options{.vocab_size = 4000, .hidden = 256, .layers = 1, .heads = 2, .ffn = 8};
  options.init.std = 1;
  test::TinyModel tiny(options);
  const at::Tensor x = tiny.model->embed->weight.detach();  // 1,024,000 draws
  const double sigma = 1 / std::sqrt(1.024e6);
  CHECK(std::abs(x.mean().item<double>()) < 4 * sigma);
  CHECK(std::abs(x.pow(2).mean().item<double>() - 1) < 4 * std::sqrt(2.0) * sigma);
  CHECK(std::abs(x.pow(4).mean().item<double>() - 3) < 4 * std::sqrt(96.0) * sigma);
  CHECK(x.abs().gt(1.959964).to(at::kDouble).mean().item<double>() == Approx(0.05).epsilon(0.02));
  // Neighbours are the two halves of a Box-Muller pair.
  const at::Tensor pairs = x.view({-1, 2});
  CHECK(std::abs((pairs.select(1, 0) * pairs.select(1, 1)).mean().item<double>()) < 6 * sigma);
}

TEST_CASE("counter-based bits are the SplitMix64 sequence") {
  // The published first outputs of SplitMix64 from state 1234567.
  CHECK(random_bits(1234567, 0) == 6457827717110365317ULL);
  CHECK(random_bits(1234567, 1) == 3203168211198807973ULL);
  CHECK(random_bits(1234567, 2) == 9817491932198370423ULL);
  CHECK(random_key(1, "a") != random_key(1, "b"));
  CHECK(random_key(1, "a") != random_key(2, "a"));
}

}  // namespace
}  // namespace setun
