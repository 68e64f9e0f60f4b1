// Validation loss: mean cross-entropy over every valid target of a split, in nats per token, and its perplexity.
#pragma once

#include "data/loader.h"
#include "model/decoder_lm.h"

namespace setun {

struct EvalResult {
  double loss = 0;        // nats per token
  double perplexity = 0;
  double bits_per_byte = 0;  // 0 when the text's bytes are unknown
  int64_t tokens = 0;
};

// Goes through `batches` micro-batches (0: one epoch) from the start of the split, without shuffling or gradients.
EvalResult evaluate(DecoderLM& model, QuantContext& context, Loader& loader, int64_t batches);

}  // namespace setun
