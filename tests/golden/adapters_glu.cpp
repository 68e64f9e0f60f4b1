// swiglu, relu2_glu.
#include <ATen/ATen.h>

#include "golden/golden.h"
#include "nn/feed_forward.h"
#include "ops/step_ops.h"

namespace setun::golden {
namespace {

Json gated(const Arguments& arguments, FfnKind kind) {
  const at::Tensor gate = arguments.tensor("gate").requires_grad_();
  const at::Tensor up = arguments.tensor("up").requires_grad_();
  const at::Tensor out = ops::gated_activation(gate, up, gated_kind(kind));
  out.backward(arguments.tensor("grad"));
  return {
      {"out", to_json(out)}, {"grad_gate", to_json(gate.grad())}, {"grad_up", to_json(up.grad())}};
}

}  // namespace

void add_glu_adapters(Adapters& adapters) {
  adapters["swiglu"] = [](const Arguments& a) { return gated(a, FfnKind::kSwiGlu); };
  adapters["relu2_glu"] = [](const Arguments& a) { return gated(a, FfnKind::kRelu2Glu); };
}

}  // namespace setun::golden
