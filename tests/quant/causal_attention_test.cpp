// ops::causal_attention: the reference in double and LibTorch's attention, forward and backward,
// over head widths, groups, documents and cached keys; equal bits on paths and threads.
#include <ATen/ATen.h>

#include <cmath>
#include <optional>
#include <sstream>

#include "ops/cpu/reference_step.h"
#include "ops/kernel_calls.h"
#include "ops/step_ops.h"
#include "quant/tensors.h"
#include "support/catch.h"

namespace setun {
namespace {

using test::normal;
using test::on_every_path;
using test::same_bits;

struct Arguments {
  at::Tensor q, k, v, first, upstream;
};

struct Gradients {
  at::Tensor out, q, k, v;
};

struct Sizes {
  int64_t batch, heads, groups, queries, keys, dim;
};

Arguments arguments(const Sizes& s, at::ScalarType type = at::kFloat) {
  return {normal({s.batch, s.heads, s.queries, s.dim}, 1).to(type),
          normal({s.batch, s.groups, s.keys, s.dim}, 2).to(type),
          normal({s.batch, s.groups, s.keys, s.dim}, 3).to(type),
          {},
          normal({s.batch, s.heads, s.queries, s.dim}, 4).to(type)};
}

// Documents of uneven lengths, other ones in each sequence.
at::Tensor uneven_documents(const Sizes& s) {
  at::Tensor first = at::zeros({s.batch, s.queries}, at::kLong);
  for (int64_t b = 0; b < s.batch; ++b) {
    for (int64_t t = 0; t < s.queries; ++t) {
      const int64_t last = s.keys - s.queries + t;
      first[b][t] = last - last % (5 + 40 * b);
    }
  }
  return first;
}

template <class Attention>
Gradients differentiate(const Attention& attention, const Arguments& a, at::ScalarType type) {
  const auto leaf = [type](const at::Tensor& x) { return x.to(type).clone().requires_grad_(); };
  const at::Tensor q = leaf(a.q), k = leaf(a.k), v = leaf(a.v);
  const at::Tensor out = attention(q, k, v, a.first);
  out.backward(a.upstream.to(type));
  return {out.detach(), q.grad(), k.grad(), v.grad()};
}

std::vector<double> doubles(const at::Tensor& x) {
  const at::Tensor flat = x.to(at::kDouble).contiguous();
  return {flat.const_data_ptr<double>(), flat.const_data_ptr<double>() + flat.numel()};
}

at::Tensor tensor_of(const std::vector<double>& values, const at::Tensor& like) {
  return at::tensor(values, at::kDouble).view(like.sizes());
}

// Head after head, the gradients of shared keys added up.
Gradients reference(const Arguments& a) {
  const at::Tensor zeros = at::zeros(a.q.sizes(), at::kDouble);
  Gradients g{zeros.clone(), zeros.clone(), at::zeros(a.k.sizes(), at::kDouble),
              at::zeros(a.k.sizes(), at::kDouble)};
  const int64_t shared = a.q.size(1) / a.k.size(1);
  for (int64_t b = 0; b < a.q.size(0); ++b) {
    for (int64_t h = 0; h < a.q.size(1); ++h) {
      ops::reference::AttentionCase c{a.q.size(2),
                                      a.k.size(2),
                                      a.q.size(3),
                                      {},
                                      doubles(a.q[b][h]),
                                      doubles(a.k[b][h / shared]),
                                      doubles(a.v[b][h / shared]),
                                      doubles(a.upstream[b][h])};
      if (a.first.defined()) {
        const at::Tensor first = a.first[a.first.size(0) == 1 ? 0 : b].contiguous();
        c.first.assign(first.const_data_ptr<int64_t>(),
                       first.const_data_ptr<int64_t>() + first.numel());
      }
      const ops::reference::AttentionGradient head = ops::reference::causal_attention(c);
      g.out[b][h].copy_(tensor_of(head.out, a.q[b][h]));
      g.q[b][h].copy_(tensor_of(head.dq, a.q[b][h]));
      g.k[b][h / shared].add_(tensor_of(head.dk, a.k[b][h / shared]));
      g.v[b][h / shared].add_(tensor_of(head.dv, a.k[b][h / shared]));
    }
  }
  return g;
}

void check_close(const Gradients& got, const Gradients& wanted, double bound) {
  const auto close = [bound](const at::Tensor& x, const at::Tensor& y) {
    return (x.to(at::kDouble) - y).norm().item<double>() <= bound * y.norm().item<double>();
  };
  CHECK(close(got.out, wanted.out));
  CHECK(close(got.q, wanted.q));
  CHECK(close(got.k, wanted.k));
  CHECK(close(got.v, wanted.v));
}

void check_equal(const Gradients& got, const Gradients& wanted) {
  CHECK(same_bits(got.out, wanted.out));
  CHECK(same_bits(got.q, wanted.q));
  CHECK(same_bits(got.k, wanted.k));
  CHECK(same_bits(got.v, wanted.v));
}

const std::vector<Sizes> kSizes = {
    {1, 1, 1, 1, 1, 1},      {2, 2, 1, 3, 3, 2},      {1, 2, 2, 7, 7, 6},     {2, 4, 2, 33, 33, 30},
    {1, 2, 1, 64, 64, 64},   {2, 2, 2, 100, 100, 40}, {1, 3, 1, 1, 50, 64},   {1, 2, 2, 9, 70, 32},
    {1, 1, 1, 130, 130, 96}, {1, 4, 1, 31, 95, 128},  {1, 1, 1, 257, 257, 16}};

std::string name_of(const Sizes& s) {
  std::ostringstream out;
  out << "batch " << s.batch << " heads " << s.heads << "/" << s.groups << " queries " << s.queries
      << " keys " << s.keys << " width " << s.dim;
  return out.str();
}

TEST_CASE("causal_attention and its gradients are the reference's on every path", "[quant]") {
  for (const Sizes& s : kSizes) {
    for (const bool documents : {false, true}) {
      INFO(name_of(s) << (documents ? " documents" : ""));
      Arguments a = arguments(s);
      a.first = documents ? uneven_documents(s) : at::Tensor();
      const Gradients wanted = reference(a);
      on_every_path(
          [&] { check_close(differentiate(ops::causal_attention, a, at::kFloat), wanted, 2e-6); });
    }
  }
}

TEST_CASE("the reference of causal_attention is LibTorch's in double", "[quant]") {
  for (const Sizes& s : kSizes) {
    for (const bool documents : {false, true}) {
      INFO(name_of(s) << (documents ? " documents" : ""));
      Arguments a = arguments(s);
      a.first = documents ? uneven_documents(s) : at::Tensor();
      check_close(differentiate(ops::causal_attention_by_library, a, at::kDouble), reference(a),
                  1e-12);
    }
  }
}

TEST_CASE("causal_attention: bits depend on neither threads nor vector width", "[quant]") {
  for (const Sizes& s : kSizes) {
    INFO(name_of(s));
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      Arguments a = arguments(s, type);
      a.first = uneven_documents(s);
      std::optional<Gradients> fused, portable;
      on_every_path([&] {
        const Gradients got = differentiate(ops::causal_attention, a, type);
        std::optional<Gradients>& of_kind = cpu_path() == CpuPath::kScalar ? portable : fused;
        of_kind = of_kind.value_or(got);
        check_equal(got, *of_kind);
      });
    }
  }
}

TEST_CASE("causal_attention in bf16 is the fp32 result rounded once", "[quant]") {
  const Sizes s{2, 4, 2, 70, 70, 64};
  const Arguments low = arguments(s, at::kBFloat16);
  on_every_path([&] {
    const Gradients wide = differentiate(ops::causal_attention, low, at::kFloat);
    const Gradients got = differentiate(ops::causal_attention, low, at::kBFloat16);
    CHECK(same_bits(got.out, wide.out.to(at::kBFloat16)));
    // delta = d_out . out sees the rounded result: gradients are near, not equal
    check_close(got,
                {wide.out.to(at::kDouble), wide.q.to(at::kDouble), wide.k.to(at::kDouble),
                 wide.v.to(at::kDouble)},
                6e-3);
  });
}

TEST_CASE("causal_attention: a few queries behind cached keys have the bits of all at once",
          "[quant]") {
  const Arguments a = arguments({2, 4, 2, 75, 75, 48});
  on_every_path([&] {
    const at::Tensor whole = ops::causal_attention(a.q, a.k, a.v, {});
    for (const auto& [from, count] :
         {std::pair<int64_t, int64_t>{0, 1}, {10, 1}, {20, 33}, {74, 1}}) {
      const int64_t seen = from + count;
      const at::Tensor part = ops::causal_attention(
          a.q.narrow(2, from, count), a.k.narrow(2, 0, seen), a.v.narrow(2, 0, seen), {});
      CHECK(same_bits(part, whole.narrow(2, from, count)));
    }
  });
}

TEST_CASE("causal_attention reads transposed views and writes tokens in order", "[quant]") {
  const Arguments a = arguments({2, 4, 2, 20, 20, 16});
  const auto turned = [](const at::Tensor& x) {
    return x.transpose(1, 2).contiguous().transpose(1, 2);
  };
  const at::Tensor y = ops::causal_attention(a.q, a.k, a.v, {});
  CHECK(y.transpose(1, 2).is_contiguous());
  CHECK(same_bits(ops::causal_attention(turned(a.q), turned(a.k), turned(a.v), {}), y));
  const at::Tensor wide = at::cat({a.q, a.q}, 3);  // rows apart
  CHECK(same_bits(ops::causal_attention(wide.narrow(3, 0, 16), a.k, a.v, {}), y));
  const auto strided = [](const at::Tensor& x) {
    return x.transpose(2, 3).contiguous().transpose(2, 3);
  };
  CHECK(same_bits(ops::causal_attention(strided(a.q), strided(a.k), strided(a.v), {}), y));
  CHECK(ops::causal_attention(a.q.narrow(0, 0, 0), a.k.narrow(0, 0, 0), a.v.narrow(0, 0, 0), {})
            .numel() == 0);
}

TEST_CASE("causal_attention: large scores, a NaN, and the future", "[quant]") {
  const Sizes s{1, 1, 1, 70, 70, 32};
  on_every_path([&] {
    Arguments a = arguments(s);
    const at::Tensor y = ops::causal_attention(a.q * 1e4, a.k, a.v, {});
    CHECK(y.isfinite().all().item<bool>());
    const at::Tensor best = a.v.index_select(
        2, at::matmul(a.q[0][0], a.k[0][0].t()).add(at::full({70, 70}, -1e30).triu(1)).argmax(1));
    CHECK(at::allclose(y, best, 1e-3, 1e-3));  // so large that the largest score takes all
    a.k[0][0][50][3] = std::nanf("");
    const at::Tensor z = ops::causal_attention(a.q, a.k, a.v, {});
    CHECK(z.narrow(2, 0, 50).isfinite().all().item<bool>());
    CHECK(z.narrow(2, 50, 20).isnan().all().item<bool>());
  });
}

TEST_CASE("causal_attention counts its kernel's calls; Meta and refused arguments", "[quant]") {
  using Catch::Matchers::Contains;
  const Arguments a = arguments({2, 4, 2, 20, 20, 16});
  const int64_t before = ops::kernel_calls(Kernel::kAttention, cpu_path());
  const Gradients g = differentiate(ops::causal_attention, a, at::kFloat);
  CHECK(ops::kernel_calls(Kernel::kAttention, cpu_path()) == before + 2);
  const at::Device meta = at::kMeta;
  Arguments shapes = a;
  for (at::Tensor* x : {&shapes.q, &shapes.k, &shapes.v, &shapes.upstream}) {
    *x = x->to(meta);
  }
  const Gradients of_shapes = differentiate(ops::causal_attention, shapes, at::kFloat);
  CHECK(test::alike(of_shapes.out, g.out));
  CHECK(test::alike(of_shapes.k, g.k));
  CHECK_THROWS_WITH(ops::causal_attention(a.q[0], a.k, a.v, {}),
                    Contains("expected q [B, H, T, D] and k [B, G, S, D]"));
  CHECK_THROWS_WITH(ops::causal_attention(a.q.narrow(1, 0, 3), a.k, a.v, {}),
                    Contains("a divisor of 3"));
  CHECK_THROWS_WITH(ops::causal_attention(a.q, a.k.narrow(2, 0, 9), a.v.narrow(2, 0, 9), {}),
                    Contains("at least as many keys as queries, got 9 and 20"));
  CHECK_THROWS_WITH(ops::causal_attention(a.q, a.k, a.v.to(at::kBFloat16), {}),
                    Contains("expected v of shape"));
  CHECK_THROWS_WITH(ops::causal_attention(a.q, a.k, a.v, at::zeros({2, 19}, at::kLong)),
                    Contains("expected int64 first keys [2 or 1, 20], got Long [2, 19]"));
  CHECK_THROWS_WITH(ops::causal_attention(a.q, a.k, a.v, at::full({1, 20}, 3, at::kLong)),
                    Contains("first key 3 of query 0 is not between 0 and its last, 0"));
}

}  // namespace
}  // namespace setun
