// The model's linear layers and its sizes, from the options alone: torch-free, so a recipe is
// checked without a tensor.
#pragma once

#include <vector>

#include "model/model_options.h"
#include "quant/product_options.h"
#include "quant/quant_plan.h"

namespace setun {

// Every linear layer in forward order; the order is the layer index of QuantPlan and
// BitLinearOptions::layer.
std::vector<LayerInfo> layer_table(const ModelOptions& options);

// How many of them block `block` has.
int64_t linears_in_block(const ModelOptions& options, int64_t block);

struct SizeEstimate {
  int64_t parameters = 0;
  // Those that one token can meet: of every mixture, the experts of its choices alone.
  int64_t active_parameters = 0;
  int64_t embedding_parameters = 0;
  int64_t quantized_parameters = 0;  // weights with a quantizer in the plan's last phase
  double packed_bytes = 0;  // 2 bits a ternary weight + fp32 scales; everything else at 2 bytes
  // Peak of one optimizer step: parameters, gradients, optimizer, quantized values, and what one
  // micro-batch of batch * context tokens keeps for backward. Within a factor of 1.25 of the
  // measured peak (tests/model/memory_test).
  double training_bytes = 0;
};
// options.vocab_size must be resolved. training_bytes assumes fp32 compute; bf16 needs less.
// `batch` counts sequences of `context` tokens, or samples of a classifier.
SizeEstimate estimate_size(const ModelOptions& options, const QuantPlan& plan, int64_t batch,
                           int64_t context, bool recompute_blocks, Products products);
// What both kinds of model share: `embedding` and `vectors` (gains, biases) parameters in full
// precision, the plan's layers as its last phase quantizes them, and the bytes kept for backward.
SizeEstimate size_of_layers(const QuantPlan& plan, int64_t embedding, int64_t vectors,
                            double activation_bytes, Products products);

// Bytes of one token's packed keys and values over all blocks: codes at their bits, padded to whole
// bytes a head, and an fp32 scale (asymmetric: and a minimum) for each; 2 bytes a number where the
// bits are 0. A sequence's first token takes more when it is exempt.
int64_t kv_cache_bytes(const ModelOptions& options, const AttentionQuantOptions& attention);

}  // namespace setun
