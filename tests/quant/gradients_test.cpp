// STE gradients against the composite-detach oracle x + (q(x) - x).detach(); true derivatives
// against finite differences.
#include <ATen/Parallel.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/ones.h>

#include <numeric>

#include "nn/bit_linear.h"
#include "nn/dropout.h"
#include "ops/cpu/reference.h"
#include "ops/ops.h"
#include "quant/fake_quantize.h"
#include "quant/tensors.h"
#include "support/catch.h"

namespace setun {
namespace {

using test::normal;
using test::same_bits;

constexpr double kEps = 1e-5;
const ActivationQuantSpec kA8{.scheme = ActivationScheme::kAbsmax};
const LinearSpec kA8Input{.activation = kA8};

at::Tensor oracle(const at::Tensor& x, const at::Tensor& quantized) {
  return x.add(quantized.sub(x).detach());
}

TEST_CASE("activation fake quantization has the quantized value and the identity's gradient",
          "[quant]") {
  const at::Tensor x = normal({4, 40}, 1).requires_grad_();
  const at::Tensor upstream = normal({4, 40}, 2);
  const at::Tensor y = quantize_input(x, kA8Input);
  CHECK(same_bits(y.detach(), ops::dequantize_absmax(ops::quantize_absmax(x.detach(), 8, kEps))));
  y.backward(upstream);
  CHECK(same_bits(x.grad(), upstream));
}

QuantPlan plan(WeightQuantSpec weight) {
  QuantPlan made;
  made.layers = {{"layer", Role::kDown, 0, 24, 32}};
  made.phases = {{0, 0, {{.weight = weight, .activation = kA8}}}};
  return made;
}

TEST_CASE(
    "BitLinear's gradients are the composite-detach oracle's for tensor, row and group scales",
    "[quant]") {
  const std::vector<WeightQuantSpec> specs = {
      {.scheme = WeightScheme::kAbsmean},
      {.scheme = WeightScheme::kAbsmean, .granularity = Granularity::kRow},
      {.scheme = WeightScheme::kAbsmean, .granularity = Granularity::kGroup, .group_size = 8}};
  for (const WeightQuantSpec& spec : specs) {
    QuantContext context(plan(spec));
    BitLinear linear(BitLinearOptions{.in_features = 32, .out_features = 24});
    {
      const torch::NoGradGuard no_grad;
      linear->weight.copy_(normal({24, 32}, 3));
    }
    const at::Tensor upstream = normal({6, 24}, 4);
    const at::Tensor x = normal({6, 32}, 5).requires_grad_();
    linear(x, context).backward(upstream);
    context.backward_to_latents();

    const at::Tensor xo = x.detach().clone().requires_grad_();
    const at::Tensor wo = linear->weight.detach().clone().requires_grad_();
    const at::Tensor xq = oracle(xo, ops::fake_quantize_absmax(xo.detach(), 8, kEps));
    const at::Tensor wq = oracle(wo, quantize_weight(wo, {.weight = spec}, 0).value);
    at::linear(xq, wq).backward(upstream);
    // The oracle computes x + (q - x), which rounds; ours is q itself: a few ulp of the operands
    // apart.
    CHECK(at::allclose(x.grad(), xo.grad(), 1e-5, 1e-5));
    CHECK(at::allclose(linear->weight.grad(), wo.grad(), 1e-5, 1e-5));
  }
}

TEST_CASE("bf16 compute: the same codes, a product near fp32, nothing infinite", "[quant]") {
  for (const double size : {1.0, 1e4, 1e-4}) {
    QuantContext context(plan({.scheme = WeightScheme::kAbsmean}));
    BitLinear fp32(BitLinearOptions{.in_features = 32, .out_features = 24});
    BitLinear bf16(
        BitLinearOptions{.in_features = 32, .out_features = 24, .compute = at::kBFloat16});
    const at::Tensor x = normal({6, 32}, 5).mul(size);
    const torch::NoGradGuard no_grad;
    fp32->weight.copy_(normal({24, 32}, 3));
    bf16->weight.copy_(fp32->weight);
    const at::Tensor exact = fp32(x, context), low = bf16(x, context);
    CHECK(low.scalar_type() == at::kBFloat16);
    CHECK(low.isfinite().all().item<bool>());
    // Operands and result round to 8 bits: |error| <= 3 * 2^-9 of the sum of absolute terms.
    const at::Tensor bound = at::linear(x.abs(), fp32->weight.abs()).max().mul(3.0 / 512);
    CHECK(low.to(at::kFloat).sub(exact).abs().max().item<double>() <= bound.item<double>());
  }
}

double weighted_norm(const std::vector<double>& x, const std::vector<double>& gain,
                     const std::vector<double>& weight) {
  const auto y = ops::reference::rms_norm(x, gain, 1e-5);
  double sum = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    sum += y[i] * weight[i];
  }
  return sum;
}

std::vector<double> doubles(const at::Tensor& x) {
  const at::Tensor flat = x.detach().to(at::kDouble).contiguous();
  return {flat.const_data_ptr<double>(), flat.const_data_ptr<double>() + flat.numel()};
}

TEST_CASE("rms_norm's gradients are the finite differences of the double-precision formula",
          "[quant]") {
  for (const bool with_gain : {true, false}) {
    const at::Tensor x = normal({1, 37}, 1).requires_grad_(), upstream = normal({1, 37}, 2);
    const at::Tensor gain = with_gain ? normal({37}, 3).requires_grad_() : at::Tensor();
    ops::rms_norm(x, gain, kEps).backward(upstream);
    std::vector<double> in = doubles(x), weight = doubles(upstream), g;
    if (with_gain) {
      g = doubles(gain);
    }
    const auto difference = [&](double& value) {
      constexpr double kStep = 1e-5;
      const double saved = value;
      value = saved + kStep;
      const double up = weighted_norm(in, g, weight);
      value = saved - kStep;
      const double down = weighted_norm(in, g, weight);
      value = saved;
      return (up - down) / (2 * kStep);
    };
    for (std::size_t i = 0; i < in.size(); ++i) {
      CHECK(x.grad()[0][static_cast<int64_t>(i)].item<double>() ==
            Approx(difference(in[i])).margin(2e-6).epsilon(2e-5));
    }
    for (std::size_t i = 0; i < g.size(); ++i) {
      CHECK(gain.grad()[static_cast<int64_t>(i)].item<double>() ==
            Approx(difference(g[i])).margin(2e-6).epsilon(2e-5));
    }
  }
}

TEST_CASE("layer_norm's gradient is the finite difference of the double-precision formula",
          "[quant]") {
  for (const double eps : {1e-5, 0.7}) {
    const at::Tensor x = normal({1, 37}, 1).add(0.5).requires_grad_(),
                     upstream = normal({1, 37}, 2);
    ops::layer_norm(x, eps).backward(upstream);
    std::vector<double> in = doubles(x);
    const std::vector<double> weight = doubles(upstream);
    const auto value = [&] {
      const auto y = ops::reference::layer_norm(in, eps);
      return std::inner_product(y.begin(), y.end(), weight.begin(), 0.0);
    };
    for (std::size_t i = 0; i < in.size(); ++i) {
      constexpr double kStep = 1e-5;
      const double saved = in[i];
      in[i] = saved + kStep;
      const double up = value();
      in[i] = saved - kStep;
      const double down = value();
      in[i] = saved;
      CHECK(x.grad()[0][static_cast<int64_t>(i)].item<double>() ==
            Approx((up - down) / (2 * kStep)).margin(2e-6).epsilon(2e-5));
    }
  }
  const at::Tensor low = normal({3, 8}, 4).to(at::kBFloat16).requires_grad_();
  ops::layer_norm(low, kEps).sum().backward();
  CHECK(low.grad().scalar_type() == at::kBFloat16);
}

TEST_CASE("dropout keeps each element with its probability, scaled, and passes that on",
          "[quant]") {
  const at::Tensor x = at::ones({200, 100}).requires_grad_();
  for (const int threads : {1, 2}) {
    at::set_num_threads(threads);
    const at::Tensor y = ::setun::dropout(x, 0.25, 11);
    CHECK(y.eq(0).to(at::kDouble).mean().item<double>() == Approx(0.25).margin(0.01));
    CHECK(y.max().item<float>() == 1 / 0.75F);
    x.mutable_grad() = at::Tensor();
    y.sum().backward();
    CHECK(same_bits(x.grad(), y.detach()));
    CHECK(same_bits(::setun::dropout(x, 0.25, 11).detach(), y.detach()));
    CHECK_FALSE(same_bits(::setun::dropout(x, 0.25, 12).detach(), y.detach()));
  }
  CHECK(same_bits(::setun::dropout(x, 0, 11).detach(), x.detach()));
}

TEST_CASE("rms_norm's gain gradient does not depend on threads or rows per thread", "[quant]") {
  const at::Tensor x = normal({301, 48}, 1), upstream = normal({301, 48}, 2);
  std::vector<at::Tensor> gradients;
  for (const int threads : {1, 2}) {
    at::set_num_threads(threads);
    const at::Tensor gain = at::ones({48}).requires_grad_();
    ops::rms_norm(x, gain, kEps).backward(upstream);
    gradients.push_back(gain.grad());
  }
  CHECK(same_bits(gradients[0], gradients[1]));
}

}  // namespace
}  // namespace setun
