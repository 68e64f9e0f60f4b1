// ops::gated_activation: the double-precision reference's values and gradients on every path,
// width, thread count, layout and type.
#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "ops/cpu/reference_step.h"
#include "ops/step_ops.h"
#include "quant/tensors.h"
#include "support/catch.h"

namespace setun {
namespace {

using test::kWidths;
using test::normal;
using test::on_every_path;
using test::same_bits;

constexpr double kUlp = std::numeric_limits<float>::epsilon();

struct Case {
  at::Tensor value, d_gate, d_up;
};

Case run(const at::Tensor& gate_in, const at::Tensor& up_in, const at::Tensor& upstream,
         GatedKind kind) {
  const at::Tensor gate = gate_in.detach().requires_grad_(), up = up_in.detach().requires_grad_();
  const at::Tensor y = ops::gated_activation(gate, up, kind);
  y.backward(upstream);
  return {y.detach(), gate.grad(), up.grad()};
}

// Gates of every size the exponential knows: its whole range, its ends, and beyond.
at::Tensor gates(int64_t width) {
  at::Tensor gate = normal({6, width}, width);
  gate[0].copy_(at::linspace(-95, 95, width));
  gate[1].mul_(30);
  gate[2].mul_(1e-20);
  gate[3].zero_();
  gate[4].mul_(1e10);
  return gate;
}

void check_against_double(const Case& got, const at::Tensor& gate, const at::Tensor& up,
                          const at::Tensor& upstream, GatedKind kind) {
  const auto flat = [](const at::Tensor& x) { return x.contiguous().view({-1}); };
  const at::Tensor g = flat(gate), u = flat(up), dy = flat(upstream);
  const at::Tensor y = flat(got.value), dg = flat(got.d_gate), du = flat(got.d_up);
  for (int64_t i = 0; i < g.numel(); ++i) {
    const double in = g[i].item<double>(), dyi = dy[i].item<double>(), ui = u[i].item<double>();
    const ops::reference::Gated want = ops::reference::gated_activation(kind, in, ui);
    // exp 2 ulp, sum, division and product; below -88.7 the exact value is under 1e-36
    CHECK(std::abs(y[i].item<double>() - want.value) <=
          4 * kUlp * std::abs(want.value) + 1e-36 * std::abs(ui));
    CHECK(std::abs(du[i].item<double>() - dyi * want.d_up) <=
          4 * kUlp * std::abs(dyi * want.d_up) + 1e-36 * std::abs(dyi));
    // the slope's terms cancel near its zero and 1 - s loses what s has rounded away
    const double s = kind == GatedKind::kSilu ? 1 / (1 + std::exp(-in)) : 1;
    const double terms = kind == GatedKind::kSilu ? s * (1 + std::abs(in)) : std::abs(want.d_gate);
    CHECK(std::abs(dg[i].item<double>() - dyi * want.d_gate) <=
          4 * kUlp * (terms * std::abs(dyi * ui) + std::abs(dyi * want.d_gate)) + 1e-34);
  }
}

TEST_CASE(
    "gated activations and their gradients: the double-precision formula, equal bits on "
    "every path and thread count",
    "[quant]") {
  for (const GatedKind kind : {GatedKind::kSilu, GatedKind::kRelu2}) {
    for (const int64_t width : kWidths) {
      INFO(enum_name(kind) << " width " << width);
      const at::Tensor gate = gates(width), up = normal({6, width}, 2),
                       upstream = normal({6, width}, 3);
      force_cpu_path(CpuPath::kScalar);
      const Case wanted = run(gate, up, upstream, kind);
      if (width <= 255) {
        check_against_double(wanted, gate, up, upstream, kind);
      }
      on_every_path([&] {
        const Case got = run(gate, up, upstream, kind);
        CHECK(same_bits(got.value, wanted.value));
        CHECK(same_bits(got.d_gate, wanted.d_gate));
        CHECK(same_bits(got.d_up, wanted.d_up));
      });
    }
  }
}

TEST_CASE("the vector exponential inside SwiGLU stays within 2 ulp over its whole range",
          "[quant]") {
  // y = g / (1 + e), so e = g / y - 1 where e is large: its relative error is the exponential's
  const at::Tensor gate = at::linspace(-86, -20, 100001);
  const at::Tensor y = ops::gated_activation(gate, at::ones_like(gate), GatedKind::kSilu);
  const at::Tensor wide = gate.to(at::kDouble);
  const at::Tensor exact = wide / (1 + (-wide).exp());
  const double worst = ((y.to(at::kDouble) - exact) / exact).abs().max().item<double>();
  INFO("worst " << worst / kUlp << " ulp");
  CHECK(worst <= 2.5 * kUlp);  // and half a division and a sum
}

TEST_CASE("gated activations in bf16 are the fp32 result rounded once", "[quant]") {
  for (const GatedKind kind : {GatedKind::kSilu, GatedKind::kRelu2}) {
    const at::Tensor gate = normal({7, 301}, 1).mul(4).to(at::kBFloat16),
                     up = normal({7, 301}, 2).to(at::kBFloat16),
                     upstream = normal({7, 301}, 3).to(at::kBFloat16);
    const Case wide = run(gate.to(at::kFloat), up.to(at::kFloat), upstream.to(at::kFloat), kind);
    on_every_path([&] {
      const Case got = run(gate, up, upstream, kind);
      CHECK(same_bits(got.value, wide.value.to(at::kBFloat16)));
      CHECK(same_bits(got.d_gate, wide.d_gate.to(at::kBFloat16)));
      CHECK(same_bits(got.d_up, wide.d_up.to(at::kBFloat16)));
    });
  }
}

TEST_CASE("gated activations hide no NaN and no infinity", "[quant]") {
  const float inf = std::numeric_limits<float>::infinity();
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const GatedKind kind : {GatedKind::kSilu, GatedKind::kRelu2}) {
      on_every_path([&] {
        at::Tensor gate = at::full({40}, 0.5), up = at::full({40}, 2.0);
        gate[3] = std::nanf("");
        up[4] = std::nanf("");
        gate[5] = inf;
        up[36] = -inf;
        const Case got = run(gate.to(type), up.to(type), at::ones({40}).to(type), kind);
        CHECK(got.value[3].isnan().item<bool>());
        CHECK(got.value[4].isnan().item<bool>());
        CHECK(got.value[5].item<float>() == inf);
        CHECK(got.value[36].item<float>() == -inf);
        CHECK(got.d_gate[3].isnan().item<bool>());
        CHECK(got.d_up[3].isnan().item<bool>());
        CHECK(got.d_gate[4].isnan().item<bool>());
        CHECK(got.value.isfinite().sum().item<int>() == 36);
      });
    }
  }
}

TEST_CASE("gated activations read the halves of a joint product and any other layout", "[quant]") {
  const at::Tensor joint = normal({5, 3, 66}, 1), upstream = normal({5, 3, 33}, 2);
  const at::Tensor gate = joint.narrow(-1, 0, 33), up = joint.narrow(-1, 33, 33);
  const Case wanted = run(gate.contiguous(), up.contiguous(), upstream, GatedKind::kSilu);
  const at::Tensor turned = upstream.transpose(0, 2).contiguous().transpose(0, 2);
  for (const at::Tensor& grad : {upstream, turned}) {
    const Case got = run(gate, up, grad, GatedKind::kSilu);
    CHECK(same_bits(got.value, wanted.value));
    CHECK(same_bits(got.d_gate, wanted.d_gate));
    CHECK(same_bits(got.d_up, wanted.d_up));
  }
  const at::Tensor empty = at::empty({0, 33});
  CHECK(ops::gated_activation(empty, empty, GatedKind::kSilu).sizes() == empty.sizes());
}

TEST_CASE("gated activations: Meta and refused arguments", "[quant]") {
  using Catch::Matchers::Contains;
  const at::Tensor x = normal({2, 6}, 1);
  CHECK(test::alike(ops::gated_activation(x.to(at::kMeta), x.to(at::kMeta), GatedKind::kRelu2), x));
  CHECK_THROWS_WITH(ops::gated_activation(x, x.narrow(0, 0, 1), GatedKind::kSilu),
                    Contains("expected up of shape [2, 6]"));
  CHECK_THROWS_WITH(ops::gated_activation(x, x.to(at::kBFloat16), GatedKind::kSilu),
                    Contains("expected up of shape [2, 6] and type Float"));
  CHECK_THROWS_WITH(ops::gated_activation(x.to(at::kHalf), x.to(at::kHalf), GatedKind::kSilu),
                    Contains("expected a fp32 or bf16 gate, got Half"));
}

}  // namespace
}  // namespace setun
