// Low-bit attention in the model: gradients against a composite-detach oracle in double, every
// option, first tokens of documents, the cache, recomputation, bf16.
#include <ATen/ATen.h>

#include <limits>
#include <map>

#include "eval/generate.h"
#include "model/tiny_model.h"
#include "ops/ops.h"
#include "support/catch.h"

namespace setun {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int64_t kHeads = 4, kDim = 8, kHidden = 24, kBatch = 2, kLength = 9;

// The formulas of quant/attention_quant.h in double, with stock operators.
at::Tensor grid_value(const at::Tensor& h, int64_t bits, const AttentionQuantOptions& options) {
  if (bits == 0) {
    return h;
  }
  const double top = static_cast<double>(int64_t{1} << (bits - 1)) - 1;
  if (options.scheme == HeadScheme::kSymmetric) {
    const at::Tensor s = h.abs().amax(-1, true).clamp_min(options.eps) / top;
    return (h / s).round().clamp(-top - 1, top) * s;
  }
  const at::Tensor low = h.amin(-1, true);
  const at::Tensor s = (h.amax(-1, true) - low).clamp_min(options.eps) / (2 * top + 1);
  return low + ((h - low) / s).round().clamp(0, 2 * top + 1) * s;
}

// Forward the grid's value, the first tokens' at their own bits; backward the identity.
at::Tensor quantized(const at::Tensor& h_BHTD, int64_t bits, const at::Tensor& first_BT,
                     const AttentionQuantOptions& options) {
  if (bits == 0) {
    return h_BHTD;
  }
  const at::Tensor h = h_BHTD.detach();
  const at::Tensor value =
      at::where(first_BT.unsqueeze(1).unsqueeze(3),
                grid_value(h, options.first_token_bits, options), grid_value(h, bits, options));
  return h_BHTD + (value - h_BHTD).detach();
}

at::Tensor rotated(const at::Tensor& x_BHTD, double base) {
  const at::Tensor exponents = at::arange(0, kDim, 2, at::kDouble) / -kDim;
  const at::Tensor angles = at::outer(at::arange(kLength, at::kDouble), at::pow(base, exponents));
  const at::Tensor a = x_BHTD.narrow(-1, 0, kDim / 2), b = x_BHTD.narrow(-1, kDim / 2, kDim / 2);
  return at::cat({a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()}, -1);
}

// Attention in double from its four weights; allowed_BTS says who may see whom.
at::Tensor oracle(const at::Tensor& x_BTD, const std::map<std::string, at::Tensor>& weights,
                  int64_t kv_heads, const at::Tensor& allowed_BTS, const at::Tensor& first_BT,
                  const AttentionQuantOptions& options) {
  const auto heads = [&](const char* name, int64_t count) {
    return at::linear(x_BTD, weights.at(name)).view({kBatch, kLength, count, kDim}).transpose(1, 2);
  };
  const auto shared = [&](const at::Tensor& h) {
    return h.repeat_interleave(kHeads / kv_heads, 1);
  };
  const at::Tensor q =
      quantized(rotated(heads("q", kHeads), 100), options.query_bits, first_BT, options);
  const at::Tensor k =
      quantized(rotated(heads("k", kv_heads), 100), options.key_bits, first_BT, options);
  const at::Tensor v = quantized(heads("v", kv_heads), options.value_bits, first_BT, options);
  const at::Tensor scores = q.matmul(shared(k).transpose(2, 3)) / std::sqrt(double{kDim});
  const at::Tensor weights_BHTS =
      scores.masked_fill(allowed_BTS.logical_not().unsqueeze(1), -kInfinity).softmax(-1);
  const at::Tensor mixed = weights_BHTS.matmul(shared(v));
  return at::linear(mixed.transpose(1, 2).reshape({kBatch, kLength, kHeads * kDim}),
                    weights.at("o"));
}

ModelOptions one_block(int64_t kv_heads) {
  return {.vocab_size = 4,
          .hidden = kHidden,
          .layers = 1,
          .heads = kHeads,
          .kv_heads = kv_heads,
          .head_dim = kDim};
}

struct AttentionFixture {
  AttentionFixture(int64_t kv_heads, const AttentionQuantOptions& quant)
      : attention(AttentionOptions{.hidden = kHidden,
                                   .heads = kHeads,
                                   .kv_heads = kv_heads,
                                   .head_dim = kDim,
                                   .linear = {.layer = 0}}),
        context(test::uniform_plan(one_block(kv_heads), {}, quant)) {
    context.begin_step({});
    at::manual_seed(3);
    const c10::NoGradGuard no_grad;
    for (at::Tensor& parameter : attention->parameters()) {
      parameter.normal_(0, 0.4);
    }
  }
  Attention attention;
  QuantContext context;
};

// Document numbers [B, T] that begin at 0 and at one other place of each row.
at::Tensor two_documents() {
  at::Tensor documents = at::zeros({kBatch, kLength}, at::kLong);
  documents[0].narrow(0, 4, kLength - 4).fill_(1);
  documents[1].narrow(0, 7, kLength - 7).fill_(1);
  return documents;
}

void check_against_oracle(int64_t kv_heads, const AttentionQuantOptions& quant, bool documents) {
  INFO("kv_heads " << kv_heads << " scheme " << enum_name(quant.scheme) << " bits "
                   << quant.query_bits << quant.key_bits << quant.value_bits
                   << quant.first_token_bits << (documents ? " documents" : ""));
  AttentionFixture fixture(kv_heads, quant);
  const at::Tensor numbers = documents ? two_documents() : at::zeros({kBatch, kLength}, at::kLong);
  const at::Tensor allowed = numbers.unsqueeze(2)
                                 .eq(numbers.unsqueeze(1))
                                 .logical_and(at::ones({kLength, kLength}, at::kBool).tril());
  at::Tensor first = at::zeros({kBatch, kLength}, at::kBool);
  first.select(1, 0).fill_(true);
  if (documents) {
    first[0][4] = first[1][7] = true;
  }
  const at::Tensor x = at::randn({kBatch, kLength, kHidden}).requires_grad_();
  const at::Tensor upstream = at::randn({kBatch, kLength, kHidden});
  const at::Tensor begins = allowed.to(at::kLong).argmax(2);
  const at::Tensor y =
      fixture.attention->forward(x, fixture.context,
                                 {.rope = make_rope(0, kLength, kDim, 100),
                                  .first_key_BT = documents ? begins : at::Tensor(),
                                  .first_BT = documents ? first : first.narrow(0, 0, 1)});
  y.backward(upstream);

  std::map<std::string, at::Tensor> weights;
  for (const auto& item : fixture.attention->named_parameters()) {
    weights[item.key().substr(0, 1)] = item.value().detach().to(at::kDouble).requires_grad_();
  }
  const at::Tensor wide = x.detach().to(at::kDouble).requires_grad_();
  const at::Tensor expected = oracle(wide, weights, kv_heads, allowed, first, quant);
  expected.backward(upstream.to(at::kDouble));
  const auto close = [](const at::Tensor& got, const at::Tensor& want) {
    return (got - want).norm().item<double>() <= 1e-5 * want.norm().item<double>();
  };
  CHECK(close(y, expected));
  CHECK(close(x.grad(), wide.grad()));
  for (const auto& item : fixture.attention->named_parameters()) {
    INFO(item.key());
    CHECK(close(item.value().grad(), weights.at(item.key().substr(0, 1)).grad()));
  }
}

TEST_CASE("low-bit attention and its gradients equal the composite-detach oracle in double") {
  for (const HeadScheme scheme : {HeadScheme::kSymmetric, HeadScheme::kAsymmetric}) {
    for (const int64_t kv_heads : {4, 2, 1}) {
      for (const bool documents : {false, true}) {
        const auto check = [&](AttentionQuantOptions quant) {
          quant.scheme = scheme;
          check_against_oracle(kv_heads, quant, documents);
        };
        check({.key_bits = 4, .value_bits = 4});
        check({.key_bits = 3, .value_bits = 3, .query_bits = 4, .first_token_bits = 4});
        check({.key_bits = 8});
        check({.value_bits = 2, .first_token_bits = 0});
        check({.query_bits = 3});
      }
    }
  }
}

// Weights as large as a trained model's, so that the logits are far from uniform.
test::TinyModel lively(const AttentionQuantOptions& quant, const LinearSpec& spec = {},
                       int64_t kv_heads = 2, at::ScalarType compute = at::kFloat) {
  ModelOptions options = test::tiny_options();
  options.init = {.kind = InitKind::kFanIn, .std = 1.0};
  options.kv_heads = kv_heads;
  return test::TinyModel(options, spec, 3, compute, quant);
}

TEST_CASE("every option of quant.attention changes the logits") {
  const AttentionQuantOptions base{.key_bits = 3, .value_bits = 3, .query_bits = 4};
  const at::Tensor tokens = test::random_tokens({2, 12}, 41);
  const c10::NoGradGuard no_grad;
  const at::Tensor logits = lively(base).logits(tokens);
  const auto changed = [&](auto&& change) {
    AttentionQuantOptions options = base;
    change(options);
    return test::max_difference(lively(options).logits(tokens), logits) > 1e-3;
  };
  CHECK_FALSE(changed([](AttentionQuantOptions&) {}));
  CHECK(changed([](AttentionQuantOptions& o) { o.key_bits = 4; }));
  CHECK(changed([](AttentionQuantOptions& o) { o.value_bits = 4; }));
  CHECK(changed([](AttentionQuantOptions& o) { o.query_bits = 3; }));
  CHECK(changed([](AttentionQuantOptions& o) { o.first_token_bits = 3; }));
  CHECK(changed([](AttentionQuantOptions& o) { o.scheme = HeadScheme::kAsymmetric; }));
  CHECK(changed([](AttentionQuantOptions& o) { o.eps = 3; }));
  test::TinyModel late = lively(base), full = lively({});
  QuantPlan plan = late.context.plan();
  plan.attention_from = 5;
  QuantContext context(plan);
  context.begin_step({.step = 4});
  CHECK(at::equal(late.model->forward(tokens, context), full.logits(tokens)));
  context.begin_step({.step = 5});
  CHECK(at::equal(late.model->forward(tokens, context), logits));
}

TEST_CASE("each isolated document has a first token of its own") {
  // Values alone: they are not rotated, so a document's codes are those it has on its own.
  for (const int64_t first_bits : {0, 8}) {
    test::TinyModel tiny = lively({.value_bits = 2, .first_token_bits = first_bits});
    const at::Tensor tokens = test::random_tokens({2, 11}, 41);
    at::Tensor documents = at::full({2, 11}, 3, at::kLong);
    documents.narrow(1, 4, 7).fill_(4);
    const c10::NoGradGuard no_grad;
    const at::Tensor packed = tiny.logits(tokens, {.documents_BT = documents});
    const at::Tensor apart =
        at::cat({tiny.logits(tokens.narrow(1, 0, 4)), tiny.logits(tokens.narrow(1, 4, 7))}, 1);
    CHECK(test::max_difference(packed, apart) < 2e-4);
  }
}

const std::vector<AttentionQuantOptions> kBits = {
    {.key_bits = 8, .value_bits = 8},
    {.key_bits = 4, .value_bits = 4},
    {.key_bits = 3, .value_bits = 3, .query_bits = 4, .first_token_bits = 4},
    {.key_bits = 4, .value_bits = 3, .scheme = HeadScheme::kAsymmetric}};

// Keys and values of inputs and weights of few bits, whose products are exact in any order.
TEST_CASE("a cache filled in parts holds the codes of one call, to the bit") {
  for (const int64_t kv_heads : {4, 2}) {
    for (const AttentionQuantOptions& quant : kBits) {
      AttentionFixture fixture(kv_heads, quant);
      const c10::NoGradGuard no_grad;
      for (at::Tensor& parameter : fixture.attention->parameters()) {
        parameter.copy_(at::randint(-8, 9, parameter.sizes()).div(16));
      }
      const at::Tensor x = at::randint(-8, 9, {kBatch, kLength, kHidden}).to(at::kFloat);
      const auto run = [&](KvCache& cache, int64_t count) {
        const at::Tensor first = at::arange(count).eq(0).unsqueeze(0);
        fixture.attention->forward(x.narrow(1, cache.length, count), fixture.context,
                                   {.rope = make_rope(cache.length, count, kDim, 100),
                                    .first_BT = cache.length == 0 ? first : at::Tensor(),
                                    .cache = &cache});
        cache.length += count;
      };
      KvCache whole, parts;
      run(whole, kLength);
      for (const int64_t count : {3, 1, 1, 4}) {
        run(parts, count);
      }
      CHECK(at::equal(whole.keys[0].narrow(2, 0, kLength), parts.keys[0].narrow(2, 0, kLength)));
      CHECK(
          at::equal(whole.values[0].narrow(2, 0, kLength), parts.values[0].narrow(2, 0, kLength)));
      if (quant.scheme == HeadScheme::kAsymmetric) {
        continue;
      }
      const at::Tensor keys = apply_rope(fixture.attention->k(x, fixture.context)
                                             .view({kBatch, kLength, kv_heads, kDim})
                                             .transpose(1, 2),
                                         make_rope(0, kLength, kDim, 100))
                                  .narrow(2, 1, kLength - 1);
      const ops::Codes q = ops::quantize_kv(keys, quant.key_bits, quant.eps);
      CHECK(at::equal(q.codes.to(at::kFloat) * q.scale, parts.keys[0].narrow(2, 1, kLength - 1)));
    }
  }
}

TEST_CASE("low-bit logits with a cache equal those without") {
  for (const int64_t kv_heads : {4, 2}) {
    for (const AttentionQuantOptions& quant : kBits) {
      INFO(quant.key_bits << " bits, " << kv_heads << " heads");
      test::TinyModel tiny = lively(quant, {}, kv_heads);
      const c10::NoGradGuard no_grad;
      const at::Tensor tokens = test::random_tokens({1, 20}, 41);
      const at::Tensor whole = tiny.logits(tokens);
      KvCache cache;
      for (const int64_t count : {6, 1, 1, 1, 7, 1, 3}) {
        const int64_t done = cache.length;
        const at::Tensor part = tiny.logits(tokens.narrow(1, done, count), {.cache = &cache});
        CHECK(test::max_difference(part, whole.narrow(1, done, count)) < 2e-4);
      }
    }
  }
}

// The largest step of each head vector's grid.
at::Tensor largest_step(const at::Tensor& h, int64_t bits, HeadScheme scheme) {
  const double levels = static_cast<double>(int64_t{1} << bits) - 1;
  return scheme == HeadScheme::kSymmetric ? h.abs().amax(-1, true) * 2 / (levels - 1)
                                          : (h.amax(-1, true) - h.amin(-1, true)) / levels;
}

// Behind ternary weights and 8-bit inputs a head is integers times one scale, so numbers lie
// exactly between two levels now and then, and products of other shapes round them to the other
// side. Never further, and rarely: what the first block caches differs by at most one step.
TEST_CASE("a ternary model caches the same levels in parts, but for ties") {
  for (const int64_t kv_heads : {4, 2}) {
    for (const AttentionQuantOptions& quant : kBits) {
      INFO(quant.key_bits << " bits, " << kv_heads << " heads");
      test::TinyModel tiny = lively(quant, test::ternary_spec(), kv_heads);
      const c10::NoGradGuard no_grad;
      const at::Tensor tokens = test::random_tokens({1, 20}, 41);
      KvCache whole, parts;
      tiny.logits(tokens, {.cache = &whole});
      for (const int64_t count : {6, 1, 1, 1, 7, 1, 3}) {
        tiny.logits(tokens.narrow(1, parts.length, count), {.cache = &parts});
      }
      const auto compare = [&](const at::Tensor& got, const at::Tensor& want, int64_t bits) {
        const at::Tensor a = got.narrow(2, 0, 20), b = want.narrow(2, 0, 20);
        const at::Tensor difference = a.sub(b).abs();
        CHECK(difference.le(largest_step(b, bits, quant.scheme) * 1.001).all().item<bool>());
        const at::Tensor moved = difference.gt(b.abs().amax() * 1e-5);
        CHECK(moved.to(at::kDouble).mean().item<double>() < 0.02);
      };
      compare(parts.keys[0], whole.keys[0], quant.key_bits);
      compare(parts.values[0], whole.values[0], quant.value_bits);
    }
  }
}

TEST_CASE("greedy generation with a low-bit cache takes the uncached model's tokens") {
  for (const int64_t kv_heads : {4, 2}) {
    for (const AttentionQuantOptions& quant : kBits) {
      test::TinyModel tiny = lively(quant, {}, kv_heads);
      const std::vector<uint32_t> prompt = {5, 17, 2};
      const auto generated =
          generate(tiny.model, tiny.context, prompt, 1u << 31, {.tokens = 20, .temperature = 0});
      REQUIRE(generated.size() == 20);
      const c10::NoGradGuard no_grad;
      std::vector<int64_t> text(prompt.begin(), prompt.end());
      for (const uint32_t token : generated) {
        const at::Tensor logits = tiny.logits(at::tensor(text).unsqueeze(0));
        CHECK(logits.select(1, logits.size(1) - 1).argmax().item<int64_t>() == token);
        text.push_back(token);
      }
    }
  }
}

TEST_CASE("recomputing blocks of low-bit attention gives every gradient bit for bit") {
  for (const AttentionQuantOptions& quant : kBits) {
    test::TinyModel plain = lively(quant, test::ternary_spec()),
                    recomputed = lively(quant, test::ternary_spec());
    const at::Tensor tokens = test::random_tokens({2, 16}, 41),
                     targets = test::random_tokens({2, 16}, 41, 8);
    const at::Tensor documents = targets.cumsum(1).div(100, "floor").to(at::kLong);
    const double a = plain.backward(tokens, targets, {.documents_BT = documents});
    const ForwardOptions again{.documents_BT = documents, .recompute_blocks = true};
    CHECK(a == recomputed.backward(tokens, targets, again));
    const auto expected = plain.model->named_parameters();
    for (const auto& item : recomputed.model->named_parameters()) {
      INFO(item.key());
      CHECK(at::equal(item.value().grad(), expected[item.key()].grad()));
    }
  }
}

TEST_CASE("low-bit attention with bf16 compute is near fp32, gradients too") {
  for (const AttentionQuantOptions& quant : kBits) {
    test::TinyModel wide(test::tiny_options(), {}, 1, at::kFloat, quant),
        narrow(test::tiny_options(), {}, 1, at::kBFloat16, quant);
    const at::Tensor tokens = test::random_tokens({2, 16}, 41),
                     targets = test::random_tokens({2, 16}, 41, 8);
    CHECK(wide.backward(tokens, targets) == Approx(narrow.backward(tokens, targets)).epsilon(0.01));
    const auto expected = wide.model->named_parameters();
    for (const auto& item : narrow.model->named_parameters()) {
      INFO(item.key());
      const at::Tensor got = item.value().grad(), want = expected[item.key()].grad();
      CHECK(got.scalar_type() == at::kFloat);
      CHECK((got * want).sum().item<double>() >
            0.9 * got.norm().item<double>() * want.norm().item<double>());
    }
  }
}

}  // namespace
}  // namespace setun
