// softmax(q k^T / sqrt(head_dim) + mask) v per head, key and value heads shared by heads / kv_heads
// query heads (GQA, 2305.13245). q and k are rotated, then all three quantized when the context
// says so; ops::causal_attention does the rest.
#include "nn/attention.h"

#include <ATen/ops/empty.h>

#include <algorithm>

#include "ops/step_ops.h"
#include "quant/attention_quant.h"

namespace setun {
namespace {

// Room for `needed` positions in a cache tensor, keeping the first `length`.
void reserve(at::Tensor& cached, const at::Tensor& like, int64_t length, int64_t needed) {
  if (cached.defined() && cached.size(2) >= needed) {
    return;
  }
  const int64_t capacity = cached.defined() ? std::max(needed, 2 * cached.size(2)) : needed;
  at::Tensor grown =
      at::empty({like.size(0), like.size(1), capacity, like.size(3)}, like.options());
  if (cached.defined()) {
    grown.narrow(2, 0, length).copy_(cached.narrow(2, 0, length));
  }
  cached = grown;
}

}  // namespace

std::pair<at::Tensor, at::Tensor> KvCache::extend(int64_t block, const at::Tensor& keys_BHTD,
                                                  const at::Tensor& values_BHTD) {
  const auto slots = static_cast<size_t>(block) + 1;
  keys.resize(std::max(keys.size(), slots));
  values.resize(keys.size());
  const int64_t added = keys_BHTD.size(2), total = length + added;
  reserve(keys[block], keys_BHTD, length, total);
  reserve(values[block], values_BHTD, length, total);
  keys[block].narrow(2, length, added).copy_(keys_BHTD);
  values[block].narrow(2, length, added).copy_(values_BHTD);
  return {keys[block].narrow(2, 0, total), values[block].narrow(2, 0, total)};
}

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
  if (inputs.cache != nullptr) {
    std::tie(key, value) = inputs.cache->extend(options.block, key, value);
  }
  const at::Tensor mixed = ops::causal_attention(query, key, value, inputs.first_key_BT)
                               .transpose(1, 2)
                               .reshape({batch, length, options.heads * options.head_dim});
  return o(behind(sub_norm, mixed), context);
}

}  // namespace setun
