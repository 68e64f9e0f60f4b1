// softmax(q k^T / sqrt(head_dim) + mask) v per head, key and value heads shared by heads / kv_heads
// query heads (GQA, 2305.13245). q and k are rotated, then all three quantized when the context
// says so; ops::causal_attention does the rest.
#include "nn/attention.h"

#include "ops/step_ops.h"
#include "quant/attention_quant.h"

namespace setun {

AttentionImpl::AttentionImpl(AttentionOptions options_in) : options(options_in) {
  const auto linear = [&](const char* name, int64_t offset, int64_t in, int64_t out) {
    return register_module(name, BitLinear(options.linear.sibling(offset, in, out)));
  };
  const int64_t width = options.heads * options.head_dim;
  const int64_t kv_width = options.kv_heads * options.head_dim;
  q = linear("q", 0, options.hidden, width);
  k = linear("k", 1, options.hidden, kv_width);
  v = linear("v", 2, options.hidden, kv_width);
  o = linear("o", 3, width, options.hidden);
  if (options.sub_norm) {
    sub_norm = register_module("sub_norm", Norm(options.linear.norm_kind, width,
                                                options.linear.norm_eps, options.linear.norm_gain));
  }
}

at::Tensor AttentionImpl::forward(const LinearInput& in_BTD, QuantContext& context,
                                  const AttentionInputs& inputs) {
  const int64_t batch = in_BTD.x.size(0), length = in_BTD.x.size(1);
  const auto split_heads = [&](const at::Tensor& y, int64_t heads) {
    return y.view({batch, length, heads, options.head_dim}).transpose(1, 2);
  };
  at::Tensor query = apply_rope(split_heads(q(in_BTD, context), options.heads), inputs.rope);
  at::Tensor key = apply_rope(split_heads(k(in_BTD, context), options.kv_heads), inputs.rope);
  at::Tensor value = split_heads(v(in_BTD, context), options.kv_heads);
  const AttentionQuantOptions& quant = context.attention();
  // A first token's query meets its own key alone, so that its precision changes nothing.
  query = fake_quantize_heads(query, quant.query_bits, {}, quant);
  key = fake_quantize_heads(key, quant.key_bits, inputs.first_BT, quant);
  value = fake_quantize_heads(value, quant.value_bits, inputs.first_BT, quant);
  if (inputs.cache != nullptr && length == 1) {
    return o(behind(sub_norm, inputs.cache->attend(options.block, query, key, value)), context);
  }
  if (inputs.cache != nullptr) {
    std::tie(key, value) = inputs.cache->extend(options.block, key, value);
  }
  const at::Tensor mixed = ops::causal_attention(query, key, value, inputs.first_key_BT)
                               .transpose(1, 2)
                               .reshape({batch, length, options.heads * options.head_dim});
  return o(behind(sub_norm, mixed), context);
}

}  // namespace setun
