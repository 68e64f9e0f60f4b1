// Grouped-query causal self-attention with rotary positions (half-split pairing, as HF and GGUF "NEOX") on
// at::scaled_dot_product_attention; optional sub-norm on the concatenated heads before o.
#pragma once

#include <vector>

#include "nn/bit_linear.h"
#include "nn/rms_norm.h"
#include "nn/rope.h"

namespace setun {

// Keys and values of every block, [B, kv_heads, T, head_dim]; grows along T.
struct KvCache {
  std::vector<at::Tensor> keys;
  std::vector<at::Tensor> values;
  int64_t length = 0;  // tokens cached; advanced by the model, not by the blocks
};

// What every block's attention of one forward shares.
struct AttentionInputs {
  Rope rope;            // tables for the positions of this call
  at::Tensor mask_BTT;  // bool [B, 1, T, T], true = may attend; undefined: causal
  KvCache* cache = nullptr;
};

struct AttentionOptions {
  int64_t hidden = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t block = 0;        // index into the cache
  int64_t first_layer = 0;  // QuantPlan index of q; k, v, o follow
  bool sub_norm = false;
  bool per_linear_norm = false;
  bool norm_gain = true;
  double norm_eps = 1e-5;
  at::ScalarType compute = at::kFloat;
};

struct AttentionImpl : torch::nn::Module {
  explicit AttentionImpl(AttentionOptions options);
  at::Tensor forward(const at::Tensor& x_BTD, QuantContext& context, const AttentionInputs& inputs);

  AttentionOptions options;
  BitLinear q{nullptr}, k{nullptr}, v{nullptr}, o{nullptr};
  RmsNorm sub_norm{nullptr};
};
TORCH_MODULE(Attention);

}  // namespace setun
