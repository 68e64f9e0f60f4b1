// The backward kernels of RMSNorm and LayerNorm: the double-precision formula, equal bits on every
// path and thread count, bf16 inputs and upstream gradients without a converted copy.
#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "ops/cpu/reference_step.h"
#include "ops/ops.h"
#include "quant/tensors.h"
#include "support/catch.h"

namespace setun {
namespace {

using test::kWidths;
using test::normal;
using test::on_every_path;
using test::row_of;
using test::same_bits;

constexpr double kEps = 1e-5;
constexpr double kUlp = std::numeric_limits<float>::epsilon();

enum class Kind { kRms, kRmsGain, kLayer };

struct Gradients {
  at::Tensor dx, d_gain;
};

Gradients run(Kind kind, const at::Tensor& x_in, const at::Tensor& gain_in,
              const at::Tensor& upstream) {
  const at::Tensor x = x_in.detach().requires_grad_();
  const at::Tensor gain = kind == Kind::kRmsGain ? gain_in.detach().requires_grad_() : at::Tensor();
  (kind == Kind::kLayer ? ops::layer_norm(x, kEps) : ops::rms_norm(x, gain, kEps))
      .backward(upstream);
  return {x.grad(), gain.defined() ? gain.grad() : at::empty({0})};
}

std::vector<double> doubles(const at::Tensor& x, int64_t row) {
  const std::vector<float> values = row_of(x, row);
  return {values.begin(), values.end()};
}

double length(const std::vector<double>& x) {
  double squares = 0;
  for (const double v : x) {
    squares += v * v;
  }
  return std::sqrt(squares / static_cast<double>(x.size()));
}

void check_against_double(Kind kind, const Gradients& got, const at::Tensor& x,
                          const at::Tensor& gain, const at::Tensor& upstream) {
  const std::vector<double> g =
      kind == Kind::kRmsGain ? doubles(gain.view({1, -1}), 0) : std::vector<double>{};
  std::vector<double> d_gain(g.size(), 0), size(g.size(), 0);
  for (int64_t row = 0; row < x.size(0); ++row) {
    const auto dy = doubles(upstream, row), in = doubles(x, row), dx = doubles(got.dx, row);
    const ops::reference::NormGradient want =
        kind == Kind::kLayer ? ops::reference::layer_norm_backward(dy, in, kEps)
                             : ops::reference::rms_norm_backward(dy, in, g, kEps);
    // Roundings of the factor, the inner product and the three-term difference, in units of the
    // terms: the factor times the row's upstream, and, where the row's spread is small beside its
    // mean, the rounding of the mean.
    const double factor = 1 / std::sqrt(std::pow(length(in), 2) + kEps);
    double largest = 0;
    for (std::size_t i = 0; i < dy.size(); ++i) {
      largest = std::max(largest, std::abs(dy[i] * (g.empty() ? 1 : g[i])));
    }
    for (std::size_t i = 0; i < dx.size(); ++i) {
      if (kind != Kind::kLayer || in.size() > 1) {
        CHECK(std::abs(dx[i] - want.dx[i]) <=
              64 * kUlp * (std::abs(want.dx[i]) + 4 * factor * largest) + 1e-37);
      }
    }
    for (std::size_t i = 0; i < g.size(); ++i) {
      d_gain[i] += want.d_gain[i];
      size[i] += std::abs(want.d_gain[i]);
    }
  }
  for (std::size_t i = 0; i < g.size(); ++i) {
    CHECK(std::abs(got.d_gain[static_cast<int64_t>(i)].item<double>() - d_gain[i]) <=
          16 * kUlp * size[i] + 1e-37);
  }
}

TEST_CASE(
    "the norms' gradients are the double-precision formula, equal bits on every path, width "
    "and thread count",
    "[quant]") {
  for (const Kind kind : {Kind::kRms, Kind::kRmsGain, Kind::kLayer}) {
    for (const int64_t width : kWidths) {
      INFO("kind " << static_cast<int>(kind) << " width " << width);
      const at::Tensor x = test::nasty_rows(width), gain = normal({width}, 9),
                       upstream = normal({6, width}, 3);
      force_cpu_path(CpuPath::kScalar);
      const Gradients wanted = run(kind, x, gain, upstream);
      check_against_double(kind, wanted, x, gain, upstream);
      on_every_path([&] {
        const Gradients got = run(kind, x, gain, upstream);
        CHECK(same_bits(got.dx, wanted.dx));
        CHECK(same_bits(got.d_gain, wanted.d_gain));
      });
    }
  }
}

TEST_CASE("the gain's gradient over many rows has one order of additions", "[quant]") {
  const at::Tensor x = normal({1000, 33}, 1), gain = normal({33}, 2), dy = normal({1000, 33}, 3);
  force_cpu_path(CpuPath::kScalar);
  const Gradients wanted = run(Kind::kRmsGain, x, gain, dy);
  check_against_double(Kind::kRmsGain, wanted, x, gain, dy);
  on_every_path([&] { CHECK(same_bits(run(Kind::kRmsGain, x, gain, dy).d_gain, wanted.d_gain)); });
}

TEST_CASE("bf16 rows give the fp32 gradients of their values, rounded once", "[quant]") {
  const at::Tensor x = normal({5, 301}, 1).to(at::kBFloat16), gain = normal({301}, 2),
                   dy = normal({5, 301}, 3);
  for (const Kind kind : {Kind::kRms, Kind::kRmsGain, Kind::kLayer}) {
    const Gradients wide = run(kind, x.to(at::kFloat), gain, dy);
    on_every_path([&] {
      const Gradients got = run(kind, x, gain, dy);
      CHECK(same_bits(got.dx, wide.dx.to(at::kBFloat16)));
      CHECK(same_bits(got.d_gain, wide.d_gain));
      CHECK(
          same_bits(kind == Kind::kLayer ? ops::layer_norm(x, kEps) : ops::rms_norm(x, gain, kEps),
                    kind == Kind::kLayer ? ops::layer_norm(x.to(at::kFloat), kEps)
                                         : ops::rms_norm(x.to(at::kFloat), gain, kEps)));
    });
  }
}

TEST_CASE("the norms' backward operators read a bf16 upstream gradient", "[quant]") {
  const auto backward = [](const at::Tensor& dy, const at::Tensor& x, const at::Tensor& gain) {
    static const auto forward_op =
        c10::Dispatcher::singleton()
            .findSchemaOrThrow("setun::rms_norm_forward", "")
            .typed<std::tuple<at::Tensor, at::Tensor>(const at::Tensor&,
                                                      const std::optional<at::Tensor>&, double)>();
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("setun::rms_norm_backward", "")
                               .typed<std::tuple<at::Tensor, at::Tensor>(
                                   const at::Tensor&, const at::Tensor&,
                                   const std::optional<at::Tensor>&, const at::Tensor&)>();
    return op.call(dy, x, gain, std::get<1>(forward_op.call(x, gain, kEps)));
  };
  const at::Tensor x = normal({5, 77}, 1), gain = normal({77}, 2),
                   dy = normal({5, 77}, 3).to(at::kBFloat16);
  const auto [dx, d_gain] = backward(dy, x, gain);
  const auto [wide_dx, wide_gain] = backward(dy.to(at::kFloat), x, gain);
  CHECK(same_bits(dx, wide_dx));
  CHECK(same_bits(d_gain, wide_gain));
  const auto [low_dx, low_gain] = backward(dy, x.to(at::kBFloat16), gain);
  CHECK(low_dx.scalar_type() == at::kBFloat16);
  CHECK(low_gain.scalar_type() == at::kFloat);
}

TEST_CASE("the norms' gradients do not depend on the layout and show what is not finite",
          "[quant]") {
  const at::Tensor x = normal({7, 48}, 5), gain = normal({48}, 6), dy = normal({7, 48}, 7);
  const at::Tensor wide = at::empty({7, 96}).narrow(1, 48, 48).copy_(x);
  const at::Tensor turned = dy.t().contiguous().t();
  for (const Kind kind : {Kind::kRms, Kind::kRmsGain, Kind::kLayer}) {
    const Gradients wanted = run(kind, x, gain, dy);
    CHECK(same_bits(run(kind, wide, gain, turned).dx, wanted.dx));
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
        at::Tensor poisoned = x.clone(), upstream = dy.clone();
        poisoned[2][40] = bad;
        upstream[4][3] = bad;
        on_every_path([&] {
          const at::Tensor dx = run(kind, poisoned.to(type), gain, upstream).dx;
          CHECK(dx[2].isnan().any().item<bool>());
          CHECK_FALSE(dx[4].isfinite().all().item<bool>());
          CHECK(dx[3].isfinite().all().item<bool>());
        });
      }
    }
  }
}

}  // namespace
}  // namespace setun
