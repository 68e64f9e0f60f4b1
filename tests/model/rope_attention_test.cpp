// nn/rope.h and nn/attention.h against plain loops in double.
#include <ATen/ATen.h>

#include <cmath>

#include "model/tiny_model.h"
#include "support/catch.h"

namespace setun {
namespace {

using Matrix = std::vector<std::vector<double>>;

Matrix to_matrix(const at::Tensor& x) {
  const at::Tensor wide = x.detach().to(at::kDouble).contiguous();
  Matrix out(wide.size(0), std::vector<double>(wide.size(1)));
  for (int64_t i = 0; i < wide.size(0); ++i) {
    for (int64_t j = 0; j < wide.size(1); ++j) {
      out[i][j] = wide[i][j].item<double>();
    }
  }
  return out;
}

// y = x W^T.
Matrix product(const Matrix& x, const Matrix& w) {
  Matrix y(x.size(), std::vector<double>(w.size(), 0));
  for (size_t t = 0; t < x.size(); ++t) {
    for (size_t o = 0; o < w.size(); ++o) {
      for (size_t i = 0; i < w[o].size(); ++i) {
        y[t][o] += x[t][i] * w[o][i];
      }
    }
  }
  return y;
}

// Rotates every head of x [T][heads * dim] to positions 0, 1, ...
void rotate(Matrix& x, size_t dim, double base) {
  for (size_t t = 0; t < x.size(); ++t) {
    for (size_t head = 0; head < x[t].size(); head += dim) {
      for (size_t i = 0; i < dim / 2; ++i) {
        const double angle = static_cast<double>(t) * std::pow(base, -2.0 * i / dim);
        const double a = x[t][head + i], b = x[t][head + i + dim / 2];
        x[t][head + i] = a * std::cos(angle) - b * std::sin(angle);
        x[t][head + i + dim / 2] = b * std::cos(angle) + a * std::sin(angle);
      }
    }
  }
}

// Causal attention of every query head on its shared key and value head.
Matrix attend(const Matrix& q, const Matrix& k, const Matrix& v, size_t heads, size_t kv_heads,
              size_t dim) {
  Matrix out(q.size(), std::vector<double>(heads * dim, 0));
  for (size_t head = 0; head < heads; ++head) {
    const size_t from = head * dim, shared = head / (heads / kv_heads) * dim;
    for (size_t t = 0; t < q.size(); ++t) {
      std::vector<double> weights(t + 1, 0);
      double sum = 0;
      for (size_t s = 0; s <= t; ++s) {
        for (size_t i = 0; i < dim; ++i) {
          weights[s] += q[t][from + i] * k[s][shared + i];
        }
        weights[s] = std::exp(weights[s] / std::sqrt(static_cast<double>(dim)));
        sum += weights[s];
      }
      for (size_t s = 0; s <= t; ++s) {
        for (size_t i = 0; i < dim; ++i) {
          out[t][from + i] += weights[s] / sum * v[s][shared + i];
        }
      }
    }
  }
  return out;
}

struct AttentionFixture {
  explicit AttentionFixture(int64_t kv_heads)
      : options(make_options(kv_heads)),
        attention(AttentionOptions{
            .hidden = 24, .heads = 4, .kv_heads = kv_heads, .head_dim = 8, .linear = {.layer = 0}}),
        context(test::uniform_plan(options, {})) {
    context.begin_step({});
    const c10::NoGradGuard no_grad;
    for (at::Tensor& parameter : attention->parameters()) {
      parameter.normal_(0, 0.4);
    }
  }
  static ModelOptions make_options(int64_t kv_heads) {
    return {.vocab_size = 4,
            .hidden = 24,
            .layers = 1,
            .heads = 4,
            .kv_heads = kv_heads,
            .head_dim = 8};
  }
  at::Tensor run(const at::Tensor& x_BTD) {
    return attention->forward(x_BTD, context, {.rope = make_rope(0, x_BTD.size(1), 8, 100.0)});
  }
  ModelOptions options;
  Attention attention;
  QuantContext context;
};

TEST_CASE("attention with rotary positions equals plain loops") {
  for (const int64_t kv_heads : {4, 2, 1}) {
    AttentionFixture fixture(kv_heads);
    const at::Tensor x = at::randn({1, 7, 24});
    const Matrix input = to_matrix(x[0]);
    Matrix q = product(input, to_matrix(fixture.attention->q->weight));
    Matrix k = product(input, to_matrix(fixture.attention->k->weight));
    const Matrix v = product(input, to_matrix(fixture.attention->v->weight));
    rotate(q, 8, 100.0);
    rotate(k, 8, 100.0);
    const Matrix expected =
        product(attend(q, k, v, 4, kv_heads, 8), to_matrix(fixture.attention->o->weight));
    const Matrix got = to_matrix(fixture.run(x)[0]);
    for (size_t t = 0; t < got.size(); ++t) {
      for (size_t i = 0; i < got[t].size(); ++i) {
        CHECK(got[t][i] == Approx(expected[t][i]).epsilon(1e-4).margin(1e-5));
      }
    }
  }
}

TEST_CASE(
    "grouped-query attention equals attention with repeated key and value heads, gradients too") {
  AttentionFixture grouped(2), full(4);
  const auto repeat = [](const at::Tensor& w) {  // [2 * 8, in] -> [4 * 8, in], each head twice
    return w.detach().view({2, 8, 24}).repeat_interleave(2, 0).view({32, 24});
  };
  {
    const c10::NoGradGuard no_grad;
    full.attention->q->weight.copy_(grouped.attention->q->weight);
    full.attention->o->weight.copy_(grouped.attention->o->weight);
    full.attention->k->weight.copy_(repeat(grouped.attention->k->weight));
    full.attention->v->weight.copy_(repeat(grouped.attention->v->weight));
  }
  const at::Tensor x = at::randn({2, 9, 24}), upstream = at::randn({2, 9, 24});
  const at::Tensor a = grouped.run(x), b = full.run(x);
  CHECK(at::allclose(a, b, 1e-5, 1e-5));
  a.backward(upstream);
  b.backward(upstream);
  const auto gradient = [](const BitLinear& linear) { return linear->weight.grad(); };
  CHECK(at::allclose(gradient(grouped.attention->q), gradient(full.attention->q), 1e-4, 1e-4));
  CHECK(at::allclose(gradient(grouped.attention->k),
                     gradient(full.attention->k).view({2, 2, 8, 24}).sum(1).view({16, 24}), 1e-4,
                     1e-4));
  CHECK(at::allclose(gradient(grouped.attention->v),
                     gradient(full.attention->v).view({2, 2, 8, 24}).sum(1).view({16, 24}), 1e-4,
                     1e-4));
}

TEST_CASE("the derivative of the rotation equals the composite's") {
  const Rope rope = make_rope(3, 5, 6, 50.0);
  const at::Tensor x = at::randn({2, 4, 5, 6}).requires_grad_(), upstream = at::randn({2, 4, 5, 6});
  apply_rope(x, rope).backward(upstream);
  const at::Tensor y = x.detach().requires_grad_();
  const at::Tensor a = y.narrow(-1, 0, 3), b = y.narrow(-1, 3, 3);
  at::cat({a * rope.cos_TD - b * rope.sin_TD, b * rope.cos_TD + a * rope.sin_TD}, -1)
      .backward(upstream);
  CHECK(at::allclose(x.grad(), y.grad(), 1e-6, 1e-6));
}

TEST_CASE("rotary tables continue at any position and scores depend on distance only") {
  const Rope whole = make_rope(0, 20, 8, 10000), tail = make_rope(13, 7, 8, 10000);
  CHECK(at::equal(whole.cos_TD.narrow(0, 13, 7), tail.cos_TD));
  CHECK(at::equal(whole.sin_TD.narrow(0, 13, 7), tail.sin_TD));
  const at::Tensor q = at::randn({1, 1, 1, 8}), k = at::randn({1, 1, 1, 8});
  const auto score = [&](int64_t i, int64_t j) {
    return (apply_rope(q, make_rope(i, 1, 8, 10000)) * apply_rope(k, make_rope(j, 1, 8, 10000)))
        .sum()
        .item<float>();
  };
  CHECK(score(9, 4) == Approx(score(105, 100)).epsilon(1e-4));
  CHECK(score(9, 4) != Approx(score(9, 5)).epsilon(1e-3));
}

TEST_CASE("angles stay exact at positions where fp32 would blur them") {
  const Rope far = make_rope(100003, 1, 8, 10000);
  for (int64_t i = 0; i < 4; ++i) {
    const double angle = 100003 * std::pow(10000, -2.0 * i / 8);
    CHECK(far.cos_TD[0][i].item<double>() == Approx(std::cos(angle)).margin(1e-6));
    CHECK(far.sin_TD[0][i].item<double>() == Approx(std::sin(angle)).margin(1e-6));
  }
}

TEST_CASE("a cache grown token by token holds what one call would have written") {
  KvCache grown, whole;
  const at::Tensor keys = at::randn({2, 3, 11, 4}), values = at::randn({2, 3, 11, 4});
  whole.extend(0, keys, values);
  for (int64_t t = 0; t < 11; ++t) {
    const auto [all_keys, all_values] =
        grown.extend(0, keys.narrow(2, t, 1), values.narrow(2, t, 1));
    grown.length += 1;
    CHECK(at::equal(all_keys, keys.narrow(2, 0, t + 1)));
    CHECK(at::equal(all_values, values.narrow(2, 0, t + 1)));
  }
}

}  // namespace
}  // namespace setun
