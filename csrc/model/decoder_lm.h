// A Llama-shaped decoder language model: embedding, blocks, final norm, head (tied or not).
// Architecture only: no method names. Parameter names: embed.weight,
// blocks.N.{attn_norm,ffn_norm}.weight, blocks.N.attn.{q,k,v,o,sub_norm}.weight,
// blocks.N.ffn.{gate,up,down,sub_norm}.weight, norm.weight, head.weight (untied); a linear's own
// norm is <linear>.norm.weight. In a block with experts ffn is {head,router,merge,sub_norm}.weight
// and experts.E.{gate,up,down,sub_norm}.weight.
#pragma once

#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/embedding.h>

#include <string>
#include <vector>

#include "model/decoder_block.h"
#include "model/model_options.h"
#include "nn/torch_module.h"
#include "quant/quant_context.h"

namespace setun {

// What the routers of one forward did, for the training loss and for records.
struct RouterReport {
  // fp32 scalar, differentiable: mean of the balance losses (nn/routing.h) of the blocks with
  // experts; undefined when there are none. Every position counts, padding too.
  at::Tensor balance;
  std::vector<at::Tensor> counts_E;  // int64: choices of each expert, by block with experts
};

struct ForwardOptions {
  // int64 document number of each token: attention stays inside one. Undefined: causal only.
  at::Tensor documents_BT;
  // Generation: keys and values so far, extended by this call.
  KvCache* cache = nullptr;
  // Gradient checkpointing: keep block inputs only (recompute.h).
  bool recompute_blocks = false;
  // Logits of the last position alone, [B, 1, V].
  bool last_position_only = false;
  // Where to put what the routers did; null: nobody asks.
  RouterReport* routers = nullptr;
};

struct DecoderLMImpl : torch::nn::Module {
  // Parameters are allocated, not drawn: see initialise(). options.vocab_size must be resolved.
  DecoderLMImpl(const ModelOptions& options, at::ScalarType compute);
  // tokens_BT int64 -> logits_BTV in the compute dtype. The residual stream and the norms are fp32.
  // A cache needs no-grad mode. Throws Error when cached and new tokens exceed max_context.
  at::Tensor forward(const at::Tensor& tokens_BT, QuantContext& context,
                     const ForwardOptions& options = {});

  // The same up to the final norm: fp32 [B, T, hidden], what the head reads.
  at::Tensor hidden_states(const at::Tensor& tokens_BT, QuantContext& context,
                           const ForwardOptions& options = {});
  // The weight [V, hidden] when the logits are hidden_states() times it in the compute dtype and
  // nothing else: a tied head, or an untied one that the context's state leaves in full precision.
  // Undefined for a quantized head.
  at::Tensor plain_head(const QuantContext& context) const;
  // Whether forward() multiplies that weight's 8-bit codes now: without gradients, when the context
  // says so.
  bool has_int8_head(const QuantContext& context) const;

  // Where the parameters are; inputs must be there too.
  at::Device device() const { return embed->weight.device(); }

  ModelOptions options;
  at::ScalarType compute;
  torch::nn::Embedding embed{nullptr};
  torch::nn::ModuleList blocks{nullptr};
  Norm norm{nullptr};
  BitLinear head{nullptr};  // null when tied: the logits use embed.weight

 private:
  RopeTable rope_;
};
TORCH_MODULE(DecoderLM);

// Draws every parameter from (seed, parameter name) alone: order does not matter.
void initialise(DecoderLM& model, uint64_t seed);

// Every linear layer, ordered as layer_table.
std::vector<NamedLinear> linear_layers(DecoderLM& model);

}  // namespace setun
