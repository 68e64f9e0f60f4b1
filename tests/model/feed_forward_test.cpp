// nn/feed_forward.h: gated activations against composites, the sub-norm, and what backward keeps.
#include "nn/feed_forward.h"
#include "ops/step_ops.h"

#include <ATen/ATen.h>

#include "model/tiny_model.h"
#include "support/catch.h"

namespace setun {
namespace {

at::Tensor composite(const at::Tensor& gate, const at::Tensor& up, FfnKind kind) {
  return (kind == FfnKind::kSwiGlu ? at::silu(gate) : at::relu(gate).pow(2)) * up;
}

TEST_CASE("gated activations and their gradients equal the composite of stock operators") {
  for (const FfnKind kind : {FfnKind::kSwiGlu, FfnKind::kRelu2Glu}) {
    const at::Tensor gate = at::randn({5, 33}).requires_grad_(),
                     up = at::randn({5, 33}).requires_grad_();
    const at::Tensor gate2 = gate.detach().requires_grad_(), up2 = up.detach().requires_grad_();
    const at::Tensor upstream = at::randn({5, 33});
    const at::Tensor out = ops::gated_activation(gate, up, gated_kind(kind)),
                     expected = composite(gate2, up2, kind);
    CHECK(at::allclose(out, expected, 1e-6, 1e-7));
    out.backward(upstream);
    expected.backward(upstream);
    CHECK(at::allclose(gate.grad(), gate2.grad(), 1e-5, 1e-6));
    CHECK(at::allclose(up.grad(), up2.grad(), 1e-5, 1e-6));
  }
}

TEST_CASE("ReLU2-GLU takes the values of the BitNet report's formula") {
  const at::Tensor out =
      ops::gated_activation(at::tensor({-1.0f, 0.5f, 2.0f}), at::tensor({3.0f, -2.0f, 0.5f}),
                            gated_kind(FfnKind::kRelu2Glu));
  CHECK(at::equal(out, at::tensor({0.0f, -0.5f, 2.0f})));
}

TEST_CASE("the feed-forward is down(norm(act(gate x) * up x))") {
  const ModelOptions model{.vocab_size = 4, .hidden = 12, .layers = 1, .heads = 1, .ffn = 20};
  for (const bool sub_norm : {false, true}) {
    // Layers 4, 5, 6 of the plan are gate, up, down.
    FeedForward ffn(FeedForwardOptions{.hidden = 12,
                                       .ffn = 20,
                                       .kind = FfnKind::kRelu2Glu,
                                       .sub_norm = sub_norm,
                                       .linear = {.layer = 4}});
    QuantContext context(test::uniform_plan(model, {}));
    context.begin_step({});
    {
      const c10::NoGradGuard no_grad;
      for (at::Tensor& parameter : ffn->parameters()) {
        parameter.uniform_(-1, 1);
      }
    }
    const at::Tensor x = at::randn({2, 3, 12});
    at::Tensor hidden = composite(x.matmul(ffn->gate->weight.t()), x.matmul(ffn->up->weight.t()),
                                  FfnKind::kRelu2Glu);
    if (sub_norm) {
      hidden = hidden * (hidden.pow(2).mean(-1, true) + 1e-5).rsqrt() * ffn->sub_norm->weight;
    }
    CHECK(at::allclose(ffn->forward(x, context), hidden.matmul(ffn->down->weight.t()), 1e-4, 1e-5));
  }
}

}  // namespace
}  // namespace setun
