// h = x + attn(norm(x)); y = h + ffn(norm(h)). The residual stream x stays fp32 whatever the
// compute dtype.
#include "model/decoder_block.h"

namespace setun {

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
  ffn = register_module(
      "ffn", FeedForward(FeedForwardOptions{.hidden = options.hidden,
                                            .ffn = options.ffn,
                                            .kind = options.ffn_kind,
                                            .sub_norm = sub_norms,
                                            .linear = linear.sibling(kAttentionLinears, 0, 0)}));
}

at::Tensor DecoderBlockImpl::forward(const at::Tensor& x_BTD, QuantContext& context,
                                     const AttentionInputs& inputs) {
  const at::Tensor h_BTD = x_BTD + attn(attn_norm ? attn_norm(x_BTD) : x_BTD, context, inputs);
  return h_BTD + ffn(ffn_norm ? ffn_norm(h_BTD) : h_BTD, context);
}

}  // namespace setun
