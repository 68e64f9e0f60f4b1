// h = x + attn(norm(x)); y = h + ffn(norm(h)). The residual stream x stays fp32 whatever the
// compute dtype.
#include "model/decoder_block.h"

#include <ATen/core/grad_mode.h>

#include "ops/few_rows_ops.h"

namespace setun {
namespace {

// x + y in fp32; the same bits both ways.
at::Tensor residual_sum(const at::Tensor& x, const at::Tensor& y) {
  return c10::GradMode::is_enabled() || !x.is_cpu() ? x + y : ops::add_residual(x, y);
}

}  // namespace

DecoderBlockImpl::DecoderBlockImpl(const ModelOptions& options, int64_t block, int64_t first_layer,
                                   at::ScalarType compute) {
  const NormPlacement placement = options.norm.placement;
  const bool block_norms = placement != NormPlacement::kPerLinear;
  const bool sub_norms = placement == NormPlacement::kSubln;
  const BitLinearOptions linear{.layer = first_layer,
                                .own_norm = placement == NormPlacement::kPerLinear ||
                                            placement == NormPlacement::kPreNormPerLinear,
                                .norm_kind = options.norm.kind,
                                .norm_gain = options.norm.gain,
                                .norm_eps = options.norm.eps,
                                .compute = compute};
  const auto block_norm = [&] {
    return Norm(options.norm.kind, options.hidden, options.norm.eps, options.norm.gain);
  };
  if (block_norms) {
    attn_norm = register_module("attn_norm", block_norm());
  }
  attn = register_module("attn", Attention(AttentionOptions{.hidden = options.hidden,
                                                            .heads = options.heads,
                                                            .kv_heads = options.resolved_kv_heads(),
                                                            .head_dim = options.resolved_head_dim(),
                                                            .block = block,
                                                            .sub_norm = sub_norms,
                                                            .linear = linear}));
  if (block_norms) {
    ffn_norm = register_module("ffn_norm", block_norm());
  }
  constexpr int64_t kAttentionLinears = 4;
  const BitLinearOptions first = linear.sibling(kAttentionLinears, 0, 0);
  if (options.has_experts(block)) {
    mixture = register_module(
        "ffn", MixtureOfExperts(MixtureOptions{.hidden = options.hidden,
                                               .expert_ffn = options.resolved_expert_ffn(),
                                               .moe = options.moe,
                                               .kind = options.ffn_kind,
                                               .sub_norm = sub_norms,
                                               .linear = first}));
  } else {
    ffn = register_module("ffn", FeedForward(FeedForwardOptions{.hidden = options.hidden,
                                                                .ffn = options.ffn,
                                                                .kind = options.ffn_kind,
                                                                .sub_norm = sub_norms,
                                                                .linear = first}));
  }
}

BlockOutput DecoderBlockImpl::forward(const at::Tensor& x_BTD, QuantContext& context,
                                      const AttentionInputs& inputs) {
  // Linears with norms of their own share what the block's norm makes; others may fuse it.
  const auto normed = [&](const Norm& norm, const at::Tensor& x) {
    return attn->q->norm && norm ? LinearInput(norm->as_input_norm()(x)) : behind(norm, x);
  };
  const at::Tensor h_BTD = residual_sum(x_BTD, attn(normed(attn_norm, x_BTD), context, inputs));
  if (ffn) {
    return {.x_BTD = residual_sum(h_BTD, ffn(normed(ffn_norm, h_BTD), context)),
            .balance = {},
            .counts_E = {}};
  }
  const MixtureOutput out = mixture(behind(ffn_norm, h_BTD).normed(), context);
  return {.x_BTD = h_BTD + out.y_BTD, .balance = out.balance, .counts_E = out.counts_E};
}

}  // namespace setun
