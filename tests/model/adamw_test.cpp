// optim/adamw.h against the algorithm in double, and what a resumed run needs.
#include "optim/adamw.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "ops/ops.h"
#include "quant/tensors.h"
#include "support/catch.h"

namespace setun {
namespace {

at::Tensor leaf(const at::Tensor& value) { return value.clone().requires_grad_(); }

std::vector<at::Tensor> random_gradients(int64_t count, at::IntArrayRef shape, uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  std::vector<at::Tensor> gradients;
  for (int64_t i = 0; i < count; ++i) {
    gradients.push_back(at::randn(shape, generator));
  }
  return gradients;
}

struct ReferenceAdamW {
  double lr, weight_decay, beta1, beta2, eps;
  std::vector<double> p, m, v;
  int64_t t = 0;
  void step(const std::vector<double>& g) {
    ++t;
    m.resize(p.size());
    v.resize(p.size());
    for (size_t i = 0; i < p.size(); ++i) {
      p[i] *= 1 - lr * weight_decay;
      m[i] = beta1 * m[i] + (1 - beta1) * g[i];
      v[i] = beta2 * v[i] + (1 - beta2) * g[i] * g[i];
      const double unbiased = std::sqrt(v[i] / (1 - std::pow(beta2, t)));
      p[i] -= lr * (m[i] / (1 - std::pow(beta1, t))) / (unbiased + eps);
    }
  }
};

std::vector<double> to_doubles(const at::Tensor& x) {
  const at::Tensor flat = x.detach().to(at::kDouble).contiguous();
  return {flat.const_data_ptr<double>(), flat.const_data_ptr<double>() + flat.numel()};
}

TEST_CASE("AdamW follows the algorithm in double, each group with its own rate and decay") {
  const OptimOptions options{.beta1 = 0.8, .beta2 = 0.97, .eps = 1e-4};
  at::Tensor a = leaf(at::randn({37, 5})), b = leaf(at::randn({19}));
  AdamW optimizer({{{{"a", a}}, 1.0, std::nullopt}, {{{"b", b}}, 0.5, 0.3}}, options);
  ReferenceAdamW reference_a{0.01, 0.1, 0.8, 0.97, 1e-4, to_doubles(a), {}, {}};
  ReferenceAdamW reference_b{0.005, 0.3, 0.8, 0.97, 1e-4, to_doubles(b), {}, {}};
  const auto gradients_a = random_gradients(8, {37, 5}, 1),
             gradients_b = random_gradients(8, {19}, 2);
  for (size_t i = 0; i < gradients_a.size(); ++i) {
    a.mutable_grad() = gradients_a[i];
    b.mutable_grad() = gradients_b[i];
    optimizer.step(0.01, 0.1);
    reference_a.step(to_doubles(gradients_a[i]));
    reference_b.step(to_doubles(gradients_b[i]));
  }
  const auto close = [](const at::Tensor& got, const std::vector<double>& want) {
    const std::vector<double> values = to_doubles(got);
    for (size_t i = 0; i < want.size(); ++i) {
      CHECK(values[i] == Approx(want[i]).epsilon(1e-5).margin(1e-6));
    }
  };
  close(a, reference_a.p);
  close(b, reference_b.p);
}

TEST_CASE("a parameter without a gradient keeps its value, moments and step count") {
  at::Tensor a = leaf(at::full({4}, 1.0)), b = leaf(at::full({4}, 1.0));
  AdamW optimizer({{{{"a", a}, {"b", b}}, 1.0, std::nullopt}}, {});
  a.mutable_grad() = at::full({4}, 0.5);
  optimizer.step(0.1, 0.5);
  CHECK(at::equal(b.detach(), at::full({4}, 1.0)));
  CHECK_FALSE(at::equal(a.detach(), at::full({4}, 1.0)));
  for (const NamedParameter& state : optimizer.state()) {
    const bool of_a = state.name.starts_with("a.");
    CHECK((state.tensor.abs().sum().item<double>() > 0) == of_a);
  }
  CHECK_FALSE(a.grad().defined());
}

TEST_CASE("a gradient in another memory layout gives the same update") {
  const at::Tensor start = at::randn({6, 9}), gradient = at::randn({6, 9});
  at::Tensor a = leaf(start), b = leaf(start);
  AdamW first({{{{"a", a}}, 1.0, std::nullopt}}, {}), second({{{{"b", b}}, 1.0, std::nullopt}}, {});
  a.mutable_grad() = gradient;
  b.mutable_grad() = gradient.t().contiguous().t();
  first.step(0.1, 0.1);
  second.step(0.1, 0.1);
  CHECK(at::equal(a, b));
}

TEST_CASE("saving and restoring in the middle continues bit for bit") {
  const at::Tensor start = at::randn({33, 17});
  const auto gradients = random_gradients(10, {33, 17}, 3);
  const auto advance = [&](AdamW& optimizer, at::Tensor& p, int64_t from, int64_t to) {
    for (int64_t i = from; i < to; ++i) {
      p.mutable_grad() = gradients[i].clone();
      optimizer.step(1e-2 / static_cast<double>(1 + i), 0.1);
    }
  };
  at::Tensor whole = leaf(start), half = leaf(start);
  AdamW uninterrupted({{{{"p", whole}}, 1.0, std::nullopt}}, {});
  advance(uninterrupted, whole, 0, 10);

  AdamW before({{{{"p", half}}, 1.0, std::nullopt}}, {});
  advance(before, half, 0, 5);
  at::Tensor resumed = leaf(half.detach());
  AdamW after({{{{"p", resumed}}, 1.0, std::nullopt}}, {});
  const auto saved = before.state(), live = after.state();
  REQUIRE(saved.size() == 3);
  for (size_t i = 0; i < saved.size(); ++i) {
    CHECK(saved[i].name == live[i].name);
    at::Tensor target = live[i].tensor;
    target.copy_(saved[i].tensor);
  }
  advance(after, resumed, 5, 10);
  CHECK(at::equal(whole.detach(), resumed.detach()));
  for (size_t i = 0; i < saved.size(); ++i) {
    CHECK(at::equal(uninterrupted.state()[i].tensor, after.state()[i].tensor));
  }
}

TEST_CASE("clipping returns the norm; the next step alone reads gradients of the wanted norm") {
  const at::Tensor start_a = at::randn({2}), start_b = at::randn({1});
  const auto moved = [&](double max_norm, double factor, int64_t steps) {
    at::Tensor a = leaf(start_a), b = leaf(start_b);
    AdamW optimizer({{{{"a", a}}, 1.0, std::nullopt}, {{{"b", b}}, 1.0, std::nullopt}}, {});
    for (int64_t i = 0; i < steps; ++i) {
      a.mutable_grad() = at::tensor({3.0f, 0.0f}) * (i == 0 ? factor : 1.0);
      b.mutable_grad() = at::tensor({-4.0f}) * (i == 0 ? factor : 1.0);
      if (max_norm >= 0 && i == 0) {
        CHECK(optimizer.clip_grad_norm(max_norm) == Approx(5.0));
        CHECK(a.grad()[0].item<float>() == 3.0f);  // read scaled, not written
        CHECK(optimizer.clip_factor() == Approx(max_norm > 0 && max_norm < 5 ? max_norm / 5 : 1));
      }
      optimizer.step(0.1, 0.1);
      CHECK(optimizer.clip_factor() == 1);
    }
    std::vector<at::Tensor> all = {a.detach(), b.detach()};
    for (const NamedParameter& state : optimizer.state()) {
      all.push_back(state.tensor.view({-1}));
    }
    return at::cat(all);
  };
  CHECK(at::allclose(moved(1.0, 1.0, 1), moved(-1, 1.0 / (5 + 1e-6), 1), 1e-6, 1e-9));
  CHECK(at::allclose(moved(1.0, 1.0, 2), moved(-1, 1.0 / (5 + 1e-6), 2), 1e-6, 1e-9));
  CHECK(at::equal(moved(0, 1.0, 1), moved(-1, 1.0, 1)));
  CHECK(at::equal(moved(6, 1.0, 1), moved(-1, 1.0, 1)));
}

TEST_CASE("gradients that are dropped take their clip factor with them") {
  at::Tensor a = leaf(at::zeros({1}));
  AdamW optimizer({{{{"a", a}}, 1.0, std::nullopt}}, {});
  a.mutable_grad() = at::full({1}, 8.0);
  optimizer.clip_grad_norm(1.0);
  CHECK(optimizer.clip_factor() < 1);
  optimizer.zero_grad();
  CHECK(optimizer.clip_factor() == 1);
}

TEST_CASE("AdamW agrees with LibTorch's fused kernel within rounding, on every path alike") {
  const OptimOptions options{.beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8};
  for (const int64_t n : {1, 31, 4096, 4097, 100001}) {
    const at::Tensor start = at::randn({n});
    const auto gradients = random_gradients(5, {n}, 4);
    at::Tensor p = start.clone(), m = at::zeros({n}), v = at::zeros({n}), t = at::zeros({});
    for (const at::Tensor& gradient : gradients) {
      t.add_(1);
      at::_fused_adamw_({p}, {gradient}, {m}, {v}, {}, {t}, 1e-2, 0.9, 0.95, 0.1, 1e-8, false,
                        false);
    }
    std::vector<at::Tensor> first;
    test::on_every_path([&] {
      at::Tensor q = leaf(start);
      AdamW optimizer({{{{"q", q}}, 1.0, std::nullopt}}, options);
      for (const at::Tensor& gradient : gradients) {
        q.mutable_grad() = gradient;
        optimizer.step(1e-2, 0.1);
      }
      const std::vector<at::Tensor> now = {q.detach(), optimizer.state()[0].tensor,
                                           optimizer.state()[1].tensor};
      CHECK(at::allclose(now[0], p, 1e-6, 1e-7));
      CHECK(at::allclose(now[1], m, 1e-5, 1e-7));
      CHECK(at::allclose(now[2], v, 1e-5, 1e-9));
      if (first.empty()) {
        first = now;
      }
      for (size_t i = 0; i < now.size(); ++i) {
        CHECK(test::same_bits(now[i], first[i]));
      }
    });
  }
}

TEST_CASE("a step leaves behind the codes of the absmean quantizer, bit for bit") {
  constexpr double kEps = 1e-5;
  for (const auto& shape :
       {std::vector<int64_t>{1, 1}, {3, 1365}, {64, 64}, {67, 129}, {96, 300}}) {
    at::Tensor a = leaf(at::randn(shape)), b = leaf(at::randn(shape));
    AdamW optimizer({{{{"a", a}, {"b", b}}, 1.0, std::nullopt}}, {});
    optimizer.keep_ternary({{a, kEps}});
    const auto check_kept = [&] {
      const ops::PackedWeight kept = optimizer.ternary_of(a, kEps),
                              wanted = ops::quantize_pack_absmean(a.detach(), 0, kEps);
      REQUIRE(kept.scale.defined());
      CHECK(test::same_bits(kept.scale, wanted.scale));
      CHECK(kept.codes.rows == shape[0]);
      CHECK(ops::unpack_ternary(kept.codes, at::kChar)
                .equal(ops::unpack_ternary(wanted.codes, at::kChar)));
    };
    check_kept();  // from the start
    test::on_every_path([&] {
      a.mutable_grad() = at::randn(shape);
      b.mutable_grad() = at::randn(shape);
      optimizer.step(0.1, 0.1);
      check_kept();
    });
    CHECK_FALSE(optimizer.ternary_of(b, kEps).scale.defined());
    CHECK_FALSE(optimizer.ternary_of(a, 2 * kEps).scale.defined());
    optimizer.step(0.1, 0.1);  // no gradient: nothing changed, the codes stay
    check_kept();
    const c10::NoGradGuard no_grad;
    a.copy_(b);  // as a checkpoint or a projection does
    CHECK_FALSE(optimizer.ternary_of(a, kEps).scale.defined());
  }
}

TEST_CASE("a weight that is not finite leaves a NaN scale, and one of zeros the eps") {
  at::Tensor a = leaf(at::ones({1, 5000})), zero = leaf(at::zeros({2, 100}));
  AdamW optimizer({{{{"a", a}, {"zero", zero}}, 1.0, std::nullopt}}, {});
  optimizer.keep_ternary({{a, 1e-5}, {zero, 1e-5}});
  a.mutable_grad() = at::zeros({1, 5000});
  a.mutable_grad()[0][4999] = std::numeric_limits<float>::infinity();
  zero.mutable_grad() = at::zeros({2, 100});
  optimizer.step(0.1, 0.1);
  CHECK(std::isnan(optimizer.ternary_of(a, 1e-5).scale.item<float>()));
  CHECK(optimizer.ternary_of(zero, 1e-5).scale.item<float>() == 1e-5F);
}

TEST_CASE("the gradient norm neither overflows nor depends on the thread count") {
  at::Tensor big = leaf(at::full({100001}, 0.0));
  AdamW optimizer({{{{"big", big}}, 1.0, std::nullopt}}, {});
  big.mutable_grad() = at::randn({100001}) * 1e30;
  const double one = optimizer.clip_grad_norm(0);
  test::on_every_path([&] { CHECK(optimizer.clip_grad_norm(0) == one); });
  CHECK(one == Approx(big.grad().to(at::kDouble).norm().item<double>()).epsilon(1e-9));
}

TEST_CASE("the first parameter with a non-finite gradient is named") {
  at::Tensor a = leaf(at::full({40000}, 0.0)), b = leaf(at::full({3}, 0.0));
  AdamW optimizer({{{{"a", a}, {"b", b}}, 1.0, std::nullopt}}, {});
  CHECK(optimizer.first_non_finite_gradient().empty());
  a.mutable_grad() = at::full({40000}, 1e38);
  b.mutable_grad() = at::full({3}, 1.0);
  CHECK(optimizer.first_non_finite_gradient().empty());
  b.mutable_grad()[1] = std::numeric_limits<float>::infinity();
  CHECK(optimizer.first_non_finite_gradient() == "b");
  a.mutable_grad()[39999] = std::nanf("");
  CHECK(optimizer.first_non_finite_gradient() == "a");
}

}  // namespace
}  // namespace setun
