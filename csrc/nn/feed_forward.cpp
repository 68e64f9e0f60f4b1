#include "nn/feed_forward.h"

#include "ops/step_ops.h"

namespace setun {

GatedKind gated_kind(FfnKind kind) {
  switch (kind) {
    case FfnKind::kSwiGlu:
      return GatedKind::kSilu;
    case FfnKind::kRelu2Glu:
      return GatedKind::kRelu2;
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
  const GatedSource source{gate(in_BTD, context), up(in_BTD, context), gated_kind(options.kind)};
  LinearInput hidden = behind(sub_norm, ops::gated_activation(source.gate, source.up, source.kind));
  hidden.source = source;
  return down(hidden, context);
}

}  // namespace setun
