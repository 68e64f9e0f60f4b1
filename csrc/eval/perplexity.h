// Validation loss: mean cross-entropy over every valid target of a split, in nats per token, and
// its perplexity.
#pragma once

#include "data/loader.h"
#include "model/decoder_lm.h"

namespace setun {

struct EvalResult {
  double loss = 0;  // nats per token
  double perplexity = 0;
  double bits_per_byte = 0;  // filled in by the caller, who knows the text's bytes; 0 when unknown
  int64_t tokens = 0;
};

// Goes through `batches` micro-batches (0: one epoch; never more) from the start of the split,
// without gradients. The context's quantized weights are used as they are: after a step of the same
// weights nothing is quantized again. Throws Error when no target was valid.
EvalResult evaluate(DecoderLM& model, QuantContext& context, Loader& loader, int64_t batches);

}  // namespace setun
