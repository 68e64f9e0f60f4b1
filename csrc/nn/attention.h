// Grouped-query causal self-attention with rotary positions (half-split pairing, as HF and GGUF
// "NEOX") on ops::causal_attention; optional sub-norm on the joined heads before o.
#pragma once

#include <utility>
#include <vector>

#include "nn/bit_linear.h"
#include "nn/norm.h"
#include "nn/rope.h"

namespace setun {

// Keys and values of every block, [B, kv_heads, capacity, head_dim], of which the first `length`
// positions are filled; after fake quantization, where there is one. The capacity doubles when it
// is full, so a token costs a copy of itself and not of everything before it. For use without
// gradients.
struct KvCache {
  std::vector<at::Tensor> keys;
  std::vector<at::Tensor> values;
  int64_t length = 0;  // advanced by the model after its last block, not by the blocks

  // Writes a block's new keys and values [B, kv_heads, T, head_dim] behind the cached ones and
  // returns all of them.
  std::pair<at::Tensor, at::Tensor> extend(int64_t block, const at::Tensor& keys_BHTD,
                                           const at::Tensor& values_BHTD);
};

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
