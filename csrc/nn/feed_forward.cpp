#include "nn/feed_forward.h"

#include "ops/step_ops.h"

namespace setun {

at::Tensor gated_activation(const at::Tensor& gate, const at::Tensor& up, FfnKind kind) {
  switch (kind) {
    case FfnKind::kSwiGlu:
      return ops::gated_activation(gate, up, GatedKind::kSilu);
    case FfnKind::kRelu2Glu:
      return ops::gated_activation(gate, up, GatedKind::kRelu2);
  }
  return {};
}

FeedForwardImpl::FeedForwardImpl(FeedForwardOptions options_in) : options(options_in) {
  const auto linear = [&](const char* name, int64_t offset, int64_t in, int64_t out) {
    return register_module(name, BitLinear(options.linear.sibling(offset, in, out)));
  };
  gate = linear("gate", 0, options.hidden, options.ffn);
  up = linear("up", 1, options.hidden, options.ffn);
  down = linear("down", 2, options.ffn, options.hidden);
  if (options.sub_norm) {
    sub_norm = register_module("sub_norm", Norm(options.linear.norm_kind, options.ffn,
                                                options.linear.norm_eps, options.linear.norm_gain));
  }
}

at::Tensor FeedForwardImpl::forward(const LinearInput& in_BTD, QuantContext& context) {
  const at::Tensor hidden =
      gated_activation(gate(in_BTD, context), up(in_BTD, context), options.kind);
  return down(behind(sub_norm, hidden), context);
}

}  // namespace setun
