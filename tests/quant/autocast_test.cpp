// ops/autograd/autocast.cpp: what autocast changes of an operator's arguments, and that it changes
// no code.
#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include "nn/bit_linear.h"
#include "ops/ops.h"
#include "ops/step_ops.h"
// After the headers that bring another CHECK.
#include "quant/tensors.h"
#include "support/catch.h"

namespace setun {
namespace {

class Autocast {
 public:
  explicit Autocast(at::ScalarType type) : type_(at::autocast::get_autocast_dtype(at::kCPU)) {
    at::autocast::set_autocast_dtype(at::kCPU, type);
    at::autocast::set_autocast_enabled(at::kCPU, true);
    at::autocast::increment_nesting();
  }
  ~Autocast() {
    at::autocast::decrement_nesting();
    at::autocast::set_autocast_enabled(at::kCPU, false);
    at::autocast::set_autocast_dtype(at::kCPU, type_);
    at::autocast::clear_cache();
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  at::ScalarType type_;
};

}  // namespace

TEST_CASE("every operator has a rule for autocast") {
  std::size_t seen = 0;
  for (const c10::OperatorName& name : c10::Dispatcher::singleton().getAllOpNames()) {
    if (name.name.rfind("setun::", 0) != 0 || name.name == "setun::counter_uniform") {
      continue;  // counter_uniform takes no tensor
    }
    const auto op = c10::Dispatcher::singleton().findSchemaOrThrow(name.name.c_str(), "");
    INFO(name.name);
    CHECK(op.hasKernelForDispatchKey(c10::DispatchKey::AutocastCPU));
    CHECK(op.hasKernelForDispatchKey(c10::DispatchKey::AutocastCUDA));
    ++seen;
  }
  CHECK(seen > 40);
}

TEST_CASE("autocast widens fp16 and lets arguments share a type, and gradients come back") {
  const at::Tensor gate = at::linspace(-2, 2, 64).view({2, 32}), up = gate.flip(1);
  const at::Tensor narrow = gate.to(at::kBFloat16).requires_grad_(),
                   half = up.to(at::kHalf).requires_grad_();
  CHECK_THROWS_WITH(ops::gated_activation(narrow, half, GatedKind::kSilu),
                    Catch::Contains("expected up"));
  at::Tensor y;
  {
    const Autocast on(at::kBFloat16);
    y = ops::gated_activation(narrow, half, GatedKind::kSilu);
    CHECK(ops::rms_norm(half, at::Tensor(), 1e-5).scalar_type() == at::kFloat);
    CHECK(
        ops::rope(at::ones({1, 1, 1, 4}, at::kBFloat16), at::ones({1, 2}), at::ones({1, 2}), false)
            .scalar_type() == at::kBFloat16);  // its tables stay fp32
  }
  CHECK(y.scalar_type() == at::kFloat);
  const at::Tensor wanted = ops::gated_activation(narrow.detach().to(at::kFloat),
                                                  half.detach().to(at::kFloat), GatedKind::kSilu);
  CHECK(test::same_bits(y.detach(), wanted));
  y.sum().backward();
  CHECK(narrow.grad().scalar_type() == at::kBFloat16);
  CHECK(half.grad().scalar_type() == at::kHalf);
}

TEST_CASE("a BitLinear under autocast has the codes, results and gradients of one outside") {
  for (const Products products : {Products::kInteger, Products::kSimulated}) {
    LinearSpec spec;
    spec.weight.scheme = WeightScheme::kAbsmean;
    spec.activation.scheme = ActivationScheme::kAbsmax;
    QuantContext context(
        {.layers = {{.name = "l", .role = Role::kGateUp}}, .phases = {{.specs = {spec}}}},
        {.products = products});
    BitLinear layer(BitLinearOptions{.in_features = 64, .out_features = 32});
    {
      const c10::NoGradGuard no_grad;
      layer->weight.copy_(at::linspace(-1, 1, 64 * 32).sin().view({32, 64}));
    }
    std::vector<at::Tensor> results[2];
    for (const bool autocast : {false, true}) {
      const at::Tensor x = at::linspace(-3, 3, 5 * 64).cos().view({5, 64}).requires_grad_();
      context.invalidate();
      context.begin_step({});
      std::optional<Autocast> on;
      if (autocast) {
        on.emplace(at::kBFloat16);
      }
      const at::Tensor y = layer->forward({x}, context), loss = y.square().sum();
      if (products == Products::kSimulated) {
        on.reset();  // LibTorch's product is differentiated by LibTorch's rule, which is cast
      }
      loss.backward();
      context.backward_to_latents();
      results[autocast ? 1 : 0] = {y.detach(), x.grad(), layer->weight.grad().clone()};
      layer->weight.mutable_grad().reset();
    }
    for (std::size_t i = 0; i < 3; ++i) {
      CHECK(test::same_bits(results[0][i], results[1][i]));
    }
  }
}

}  // namespace setun
