// SwiGLU (2002.05202) and ReLU^2-GLU (2504.12285 section 2) as one autograd function: the
// composition of stock operators would also keep act(gate) for backward, a third tensor of the
// widest activation of the block.
#include "nn/feed_forward.h"

#include <ATen/ops/relu.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/silu_backward.h>
#include <torch/csrc/autograd/custom_function.h>

namespace setun {
namespace {

at::Tensor activate(const at::Tensor& gate, FfnKind kind) {
  switch (kind) {
    case FfnKind::kSwiGlu:
      return at::silu(gate);
    case FfnKind::kRelu2Glu:
      return at::relu(gate).square_();
  }
  return gate;
}

// upstream * act'(gate).
at::Tensor activate_backward(const at::Tensor& upstream, const at::Tensor& gate, FfnKind kind) {
  switch (kind) {
    case FfnKind::kSwiGlu:
      return at::silu_backward(upstream, gate);
    case FfnKind::kRelu2Glu:
      return at::relu(gate).mul_(2).mul_(upstream);
  }
  return upstream;
}

struct GatedActivation : torch::autograd::Function<GatedActivation> {
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& gate,
                            const at::Tensor& up, FfnKind kind) {
    ctx->save_for_backward({gate, up});
    ctx->saved_data["kind"] = static_cast<int64_t>(kind);
    return activate(gate, kind).mul_(up);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list upstream) {
    const auto saved = ctx->get_saved_variables();
    const auto kind = static_cast<FfnKind>(ctx->saved_data["kind"].toInt());
    const at::Tensor &gate = saved[0], &up = saved[1], &grad = upstream[0];
    return {activate_backward(grad.mul(up), gate, kind), activate(gate, kind).mul_(grad),
            at::Tensor()};
  }
};

}  // namespace

at::Tensor gated_activation(const at::Tensor& gate, const at::Tensor& up, FfnKind kind) {
  return GatedActivation::apply(gate, up, kind);
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
