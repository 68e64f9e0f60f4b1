// eval/generate.h: the cache changes nothing, sampling rules, determinism, limits.
#include "eval/generate.h"

#include <ATen/ATen.h>

#include <map>
#include <numeric>

#include "base/counter_rng.h"
#include "model/tiny_model.h"
#include "ops/kernel_calls.h"
#include "support/catch.h"

namespace setun {
namespace {

constexpr uint32_t kNoEnd = 1u << 31;

// Weights as large as a trained model's, so that the logits are far from uniform.
test::TinyModel lively_model(const LinearSpec& spec, at::ScalarType compute = at::kFloat) {
  ModelOptions options = test::tiny_options();
  options.init = {.kind = InitKind::kFanIn, .std = 1.0};
  return test::TinyModel(options, spec, 3, compute);
}

TEST_CASE(
    "logits with a cache equal those without, for a prompt, single tokens and a later chunk") {
  for (const LinearSpec& spec : {LinearSpec{}, test::ternary_spec()}) {
    test::TinyModel tiny = lively_model(spec);
    const c10::NoGradGuard no_grad;
    const at::Tensor tokens = test::random_tokens({2, 20}, 41);
    const at::Tensor whole = tiny.logits(tokens);
    KvCache cache;
    int64_t done = 0;
    for (const int64_t count : {6, 1, 1, 1, 7, 1, 3}) {
      const at::Tensor part = tiny.logits(tokens.narrow(1, done, count), {.cache = &cache});
      // fp32 products of other shapes round differently; the logits are of order 10.
      CHECK(test::max_difference(part, whole.narrow(1, done, count)) < 2e-4);
      done += count;
      CHECK(cache.length == done);
    }
  }
}

TEST_CASE("a bf16 model generates through the operators of few rows, near LibTorch's products") {
  for (const LinearSpec& spec : {LinearSpec{}, test::ternary_spec()}) {
    test::TinyModel tiny = lively_model(spec, at::kBFloat16);
    const c10::NoGradGuard no_grad;
    const at::Tensor tokens = test::random_tokens({1, 30}, 41);
    const auto calls = [](Kernel kernel) { return ops::kernel_calls(kernel, cpu_path()); };
    const int64_t linears = calls(Kernel::kFewRowsLinear), cached = calls(Kernel::kCachedAttention);
    const at::Tensor whole = tiny.logits(tokens).to(at::kFloat);  // 30 rows: LibTorch's
    CHECK(calls(Kernel::kFewRowsLinear) == linears);
    KvCache cache;
    tiny.logits(tokens.narrow(1, 0, 25), {.cache = &cache});
    for (int64_t i = 25; i < 30; ++i) {
      const at::Tensor one = tiny.logits(tokens.narrow(1, i, 1), {.cache = &cache});
      // logits of order 10: two roundings to bf16 apart
      CHECK(test::max_difference(one.to(at::kFloat), whole.narrow(1, i, 1)) < 0.25);
    }
    CHECK(calls(Kernel::kCachedAttention) == cached + 5 * 2);
    // the head, and in full precision seven linears in each of two blocks
    CHECK(calls(Kernel::kFewRowsLinear) == linears + 5 * (spec.quantizes() ? 1 : 15));
  }
}

TEST_CASE("products of few rows are LibTorch's outside generation, in recomputed blocks too") {
  for (const at::ScalarType compute : {at::kFloat, at::kBFloat16}) {
    test::TinyModel tiny = lively_model({}, compute);
    const at::Tensor tokens = test::random_tokens({1, 4}, 41);
    const int64_t calls = ops::kernel_calls(Kernel::kFewRowsLinear, cpu_path());
    tiny.backward(tokens, tokens, {.recompute_blocks = true});
    const c10::NoGradGuard no_grad;
    tiny.logits(tokens);
    CHECK(ops::kernel_calls(Kernel::kFewRowsLinear, cpu_path()) == calls);
    KvCache cache;
    tiny.logits(tokens, {.cache = &cache});
    CHECK(ops::kernel_calls(Kernel::kFewRowsLinear, cpu_path()) == calls + 15);
    tiny.logits(tokens);
    CHECK(ops::kernel_calls(Kernel::kFewRowsLinear, cpu_path()) == calls + 15);
  }
}

TEST_CASE("greedy generation takes the most probable token of the uncached model at every step") {
  for (const LinearSpec& spec : {LinearSpec{}, test::ternary_spec()}) {
    test::TinyModel tiny = lively_model(spec);
    const std::vector<uint32_t> prompt = {5, 17, 2};
    const auto generated =
        generate(tiny.model, tiny.context, prompt, kNoEnd, {.tokens = 30, .temperature = 0});
    REQUIRE(generated.size() == 30);
    const c10::NoGradGuard no_grad;
    at::Tensor tokens = at::tensor(std::vector<int64_t>(prompt.begin(), prompt.end())).unsqueeze(0);
    for (const uint32_t token : generated) {
      const at::Tensor last = tiny.logits(tokens)[0].select(0, tokens.size(1) - 1);
      CHECK(last.argmax().item<int64_t>() == token);
      tokens = at::cat({tokens, at::tensor(std::vector<int64_t>{token}).unsqueeze(0)}, 1);
    }
    CHECK(tiny.context.quantize_count() == (spec.quantizes() ? 14 : 0));
  }
}

TEST_CASE("a seed gives one text, whatever the global generator does; another seed another") {
  test::TinyModel tiny = lively_model({});
  const auto text = [&](int64_t seed) {
    return generate(tiny.model, tiny.context, {1}, kNoEnd,
                    {.tokens = 40, .temperature = 8, .seed = seed});
  };
  const auto first = text(1);
  at::randn({10});
  CHECK(text(1) == first);
  CHECK(text(2) != first);
}

TEST_CASE("token i is sampled with draw i of the seed") {
  test::TinyModel tiny = lively_model({});
  const GenerateOptions options{.tokens = 25, .temperature = 8, .top_k = 20, .seed = 4};
  const auto generated = generate(tiny.model, tiny.context, {1}, kNoEnd, options);
  const c10::NoGradGuard no_grad;
  KvCache cache;
  at::Tensor token = at::full({1, 1}, 1, at::kLong);
  for (size_t i = 0; i < generated.size(); ++i) {
    const at::Tensor logits = tiny.logits(token, {.cache = &cache});
    const double uniform = random_uniform(random_key(4, "generate"), i);
    CHECK(sample_token(logits.view({-1}), options, uniform) == generated[i]);
    token.fill_(static_cast<int64_t>(generated[i]));
  }
}

TEST_CASE("generation stops at the end of text, which is not part of the result") {
  test::TinyModel tiny = lively_model({});
  const GenerateOptions greedy{.tokens = 20, .temperature = 0};
  const auto all = generate(tiny.model, tiny.context, {1}, kNoEnd, greedy);
  const uint32_t end = all[7];
  const size_t stop = std::find(all.begin(), all.end(), end) - all.begin();
  std::vector<uint32_t> seen;
  const auto stopped =
      generate(tiny.model, tiny.context, {1}, end, greedy, [&](uint32_t t) { seen.push_back(t); });
  CHECK(stopped == std::vector<uint32_t>(all.begin(), all.begin() + stop));
  CHECK(seen == stopped);
}

TEST_CASE("a prompt that cannot be continued is refused with the remedy") {
  test::TinyModel tiny = lively_model({});
  const auto run = [&](std::vector<uint32_t> prompt, int64_t tokens) {
    return generate(tiny.model, tiny.context, prompt, kNoEnd, {.tokens = tokens});
  };
  CHECK_THROWS_WITH(run({}, 5), Catch::Contains("at least one token"));
  CHECK_THROWS_WITH(run({41}, 5),
                    Catch::Contains("token 41 is outside the model's vocabulary of 41"));
  CHECK_THROWS_WITH(run({1, 2, 3, 4}, 61), Catch::Contains("exceed model.max_context = 64") &&
                                               Catch::Contains("at most 60"));
  CHECK(run({1, 2, 3, 4}, 60).size() == 60);
}

std::map<uint32_t, double> frequencies(const at::Tensor& logits, const GenerateOptions& options) {
  constexpr int64_t kDraws = 20000;
  std::map<uint32_t, double> counts;
  for (int64_t i = 0; i < kDraws; ++i) {
    counts[sample_token(logits, options, random_uniform(9, i))] += 1.0 / kDraws;
  }
  return counts;
}

TEST_CASE("samples follow softmax(logits / temperature) and the restrictions") {
  const at::Tensor logits = at::tensor({1.0, 0.0, 2.0, -1.0}).log_softmax(0, at::kDouble);
  const auto expected = [&](std::vector<uint32_t> kept, double temperature) {
    std::map<uint32_t, double> p;
    double sum = 0;
    for (const uint32_t token : kept) {
      sum += p[token] = std::exp(logits[token].item<double>() / temperature);
    }
    for (auto& [token, value] : p) {
      value /= sum;
    }
    return p;
  };
  const auto check = [&](const GenerateOptions& options, const std::vector<uint32_t>& kept) {
    const auto got = frequencies(logits, options), want = expected(kept, options.temperature);
    REQUIRE(got.size() == want.size());
    for (const auto& [token, p] : want) {
      CHECK(got.at(token) == Approx(p).margin(0.015));  // 4 sigma of 20,000 draws
    }
  };
  // Probabilities at temperature 1: .237 .087 .644 .032.
  check({.temperature = 1}, {0, 1, 2, 3});
  check({.temperature = 2}, {0, 1, 2, 3});
  check({.temperature = 1, .top_k = 2}, {0, 2});
  check({.temperature = 1, .top_p = 0.64}, {2});
  check({.temperature = 1, .top_p = 0.65}, {2, 0});
  check({.temperature = 1, .top_p = 0.9}, {2, 0, 1});
  // Renormalised after top_k: .731 of two.
  check({.temperature = 1, .top_k = 2, .top_p = 0.7}, {2});
}

TEST_CASE(
    "greedy breaks ties towards the lower token, and a token of probability zero is never drawn") {
  const at::Tensor ties = at::tensor({0.0, 3.0, 3.0});
  CHECK(sample_token(ties, {.temperature = 0}, 0.99) == 1);
  const at::Tensor impossible = at::tensor({0.0, -std::numeric_limits<double>::infinity()});
  CHECK(sample_token(impossible, {.temperature = 1}, 0.0) == 0);
  CHECK(sample_token(impossible, {.temperature = 1}, 1 - 1e-16) == 0);
}

}  // namespace
}  // namespace setun
