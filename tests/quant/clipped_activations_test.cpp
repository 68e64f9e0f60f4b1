// Estimators of the quantizers that clip, against the composite-detach oracle in double, and their
// behaviour on values that are not finite. The int8 linears against products written out.
#include <ATen/ops/allclose.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>

#include <functional>
#include <limits>

#include "ops/ops.h"
#include "quant/estimators/clipped_activations.h"
#include "quant/estimators/int8_linear.h"
#include "quant/quantizers/int8.h"
#include "quant/tensors.h"
#include "support/catch.h"

namespace setun {
namespace {

using test::normal;

at::Tensor rounded(const at::Tensor& x) { return x.add(x.round().sub(x).detach()); }

at::Tensor number(double value) { return at::tensor({value}, at::kDouble).requires_grad_(); }

// Both functions on the same double inputs: equal values, and equal gradients of every input.
using Function = std::function<at::Tensor(const std::vector<at::Tensor>&)>;
void check_oracle(const Function& ours, const Function& oracle, const std::vector<at::Tensor>& in) {
  std::vector<std::vector<at::Tensor>> gradients;
  std::vector<at::Tensor> values;
  for (const Function& f : {ours, oracle}) {
    std::vector<at::Tensor> leaves;
    for (const at::Tensor& x : in) {
      leaves.push_back(x.detach().clone().requires_grad_());
    }
    const at::Tensor y = f(leaves);
    y.backward(normal(y.sizes(), 99).to(at::kDouble));
    values.push_back(y.detach());
    gradients.emplace_back();
    for (const at::Tensor& leaf : leaves) {
      REQUIRE(leaf.grad().defined());
      gradients.back().push_back(leaf.grad());
    }
  }
  CHECK(at::allclose(values[0], values[1], 1e-12, 1e-12));
  for (std::size_t i = 0; i < in.size(); ++i) {
    INFO("input " << i);
    CHECK(at::allclose(gradients[0][i], gradients[1][i], 1e-9, 1e-12));
  }
}

// Random values meet no boundary exactly.
at::Tensor inputs(int64_t seed) { return normal({7, 61}, seed).to(at::kDouble).add(1e-4); }

TEST_CASE("DoReFa activations: value and gradient of the composite form", "[quant]") {
  for (const int64_t bits : {1, 2, 4, 8}) {
    const double n = std::exp2(bits) - 1;
    check_oracle([&](const auto& in) { return dorefa_activation_ste(in[0], bits); },
                 [&](const auto& in) { return rounded(in[0].clamp(0, 1).mul(n)).div(n); },
                 {inputs(bits)});
  }
}

TEST_CASE("PACT: value and gradients of the composite form", "[quant]") {
  for (const int64_t bits : {2, 4}) {
    const double n = std::exp2(bits) - 1;
    check_oracle([&](const auto& in) { return pact_activation_ste(in[0], in[1], bits); },
                 [&](const auto& in) {
                   const at::Tensor clipped = at::where(in[0].ge(in[1]), in[1], in[0].clamp_min(0));
                   const at::Tensor alpha = in[1].detach();
                   const at::Tensor q =
                       clipped.detach().mul(n).div(alpha).round().mul(alpha).div(n);
                   return clipped.add(q.sub(clipped).detach());
                 },
                 {inputs(bits), number(0.9)});
  }
}

TEST_CASE("LSQ+: value and gradients of the composite form, with its gradient scale", "[quant]") {
  for (const auto& [low, high] : {std::pair<int64_t, int64_t>(0, 3), {-8, 7}, {-2, 1}}) {
    for (const int64_t features : {0, 61}) {
      const at::Tensor x = inputs(high);
      const double g = 1 / std::sqrt(static_cast<double>(features == 0 ? x.numel() : features) *
                                     static_cast<double>(high));
      const auto slowed = [g](const at::Tensor& p) {
        return p.mul(g).add(p.sub(p.mul(g)).detach());
      };
      check_oracle(
          [&, lo = low, hi = high](const auto& in) {
            return lsq_plus_activation_ste(in[0], in[1], in[2], lo, hi, features);
          },
          [&, lo = low, hi = high](const auto& in) {
            const at::Tensor s = slowed(in[1]), beta = slowed(in[2]);
            return rounded(in[0].sub(beta).div(s).clamp(lo, hi)).mul(s).add(beta);
          },
          {x, number(0.31), number(-0.2)});
    }
  }
}

TEST_CASE("clipping estimators in bf16: NaN stays where it is, infinities are clipped", "[quant]") {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const float values[] = {0.4F, std::numeric_limits<float>::quiet_NaN(), kInfinity, -kInfinity};
  const at::Tensor base = at::tensor(at::ArrayRef<float>(values)).to(at::kBFloat16);
  const at::Tensor s = at::tensor({0.5F}).requires_grad_(),
                   beta = at::tensor({0.1F}).requires_grad_(),
                   alpha = at::tensor({0.75F}).requires_grad_();
  const std::vector<std::function<at::Tensor(const at::Tensor&)>> estimators = {
      [](const at::Tensor& x) { return dorefa_activation_ste(x, 2); },
      [&](const at::Tensor& x) { return pact_activation_ste(x, alpha, 2); },
      [&](const at::Tensor& x) { return lsq_plus_activation_ste(x, s, beta, 0, 3, 0); }};
  for (std::size_t i = 0; i < estimators.size(); ++i) {
    INFO("estimator " << i);
    const at::Tensor x = base.clone().requires_grad_();
    const at::Tensor y = estimators[i](x);
    CHECK(y.scalar_type() == at::kBFloat16);
    CHECK(y.isnan().sum().item<int>() == 1);
    CHECK(y[1].isnan().item<bool>());
    CHECK(y.isinf().sum().item<int>() == 0);
    y.backward(at::tensor({1.0F, 1.0F, 1.0F, 1.0F}).to(at::kBFloat16));
    CHECK(x.grad().scalar_type() == at::kBFloat16);
    CHECK(at::equal(x.grad().to(at::kFloat), at::tensor({1.0F, 0.0F, 0.0F, 0.0F})));
  }
  for (const at::Tensor& learned : {s, beta, alpha}) {
    CHECK(learned.grad().isfinite().all().item<bool>());
  }
}

TEST_CASE("int8 linears: the products of their codes, and full precision without rounding error",
          "[quant]") {
  const at::Tensor x = normal({5, 40}, 1).requires_grad_(), w = normal({7, 40}, 2).requires_grad_();
  const at::Tensor upstream = normal({5, 7}, 3);
  for (const bool quantize : {true, false}) {
    for (const at::Tensor& leaf : {x, w}) {
      leaf.mutable_grad() = at::Tensor();
    }
    int8_mixed_linear(x, w, quantize).backward(upstream);
    CHECK(at::allclose(x.grad(), int8_product(upstream, w.detach())));
    const at::Tensor exact = upstream.t().matmul(x.detach());
    CHECK(at::allclose(w.grad(), quantize ? int8_product(upstream.t(), x.detach()) : exact));
  }
  // Integers up to 127 with a 127 in every row and column are their own codes.
  at::Tensor a = normal({6, 30}, 4).mul(40).round().clamp(-127, 127),
             b = normal({30, 4}, 5).mul(40).round().clamp(-127, 127);
  a.select(1, 0).fill_(127);
  b.select(0, 0).fill_(-127);
  CHECK(at::equal(int8_product(a, b), a.matmul(b)));
  CHECK(int8_product(a.mul(0), b).eq(0).all().item<bool>());
}

TEST_CASE("torchao's BitNet linear is near the estimator of BitLinear", "[quant]") {
  const at::Tensor x = normal({5, 64}, 1).requires_grad_(), w = normal({7, 64}, 2).requires_grad_();
  const at::Tensor upstream = normal({5, 7}, 3);
  const at::Tensor y = torchao_bitnet_linear(x, w, 1e-5);
  y.backward(upstream);
  // The scale is a step here and a multiplier there; values differ by roundings of fp32.
  const at::Tensor xq = ops::fake_quantize_absmax(x.detach(), 8, 1e-5);
  const at::Tensor wq = ops::dequantize_absmean(ops::quantize_absmean(w.detach(), 0, 1e-5));
  CHECK(at::allclose(y, xq.matmul(wq.t()), 1e-4, 1e-4));
  CHECK(at::allclose(x.grad(), upstream.matmul(wq), 1e-4, 1e-4));
  CHECK(at::allclose(w.grad(), upstream.t().matmul(xq), 1e-4, 1e-4));
}

}  // namespace
}  // namespace setun
