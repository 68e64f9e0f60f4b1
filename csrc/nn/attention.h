// Grouped-query causal self-attention with rotary positions (half-split pairing, as HF and GGUF
// "NEOX") on ops::causal_attention; optional sub-norm on the joined heads before o.
#pragma once

#include "nn/bit_linear.h"
#include "nn/kv_cache.h"
#include "nn/norm.h"
#include "nn/rope.h"

namespace setun {

// What every block's attention of one forward shares.
struct AttentionInputs {
  Rope rope;  // tables for the positions of this call
  // int64 [B or 1, T]: the first key each token may attend to. Undefined: the first of all.
  at::Tensor first_key_BT;
  // bool [B or 1, T]: tokens that begin a sequence or document, whose keys and values low-bit
  // attention exempts. Undefined: none of this call.
  at::Tensor first_BT;
  KvCache* cache = nullptr;
};

struct AttentionOptions {
  int64_t hidden = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t block = 0;  // index into the cache
  bool sub_norm = false;
  BitLinearOptions linear;  // of q; k, v, o follow in the plan. Widths come from the sizes above.
};

struct AttentionImpl : torch::nn::Module {
  explicit AttentionImpl(AttentionOptions options);
  // in_BTD fp32 or compute dtype -> [B, T, hidden] in the compute dtype.
  at::Tensor forward(const LinearInput& in_BTD, QuantContext& context,
                     const AttentionInputs& inputs);

  AttentionOptions options;
  BitLinear q{nullptr}, k{nullptr}, v{nullptr}, o{nullptr};
  Norm sub_norm{nullptr};
};
TORCH_MODULE(Attention);

}  // namespace setun
