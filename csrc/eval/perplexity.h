// Validation loss: mean cross-entropy over every valid target of a split, in nats per token, and
// its perplexity.
#pragma once

#include "data/loader.h"
#include "eval/eval_result.h"
#include "model/decoder_lm.h"

namespace setun {

// Goes through `batches` micro-batches (0: one epoch; never more) from the start of the split,
// without gradients; bits_per_byte is left to the caller, who knows the text. The context's
// quantized weights are used as they are: after a step of the same weights nothing is quantized
// again. Throws Error when no target was valid.
EvalResult evaluate(DecoderLM& model, QuantContext& context, Loader& loader, int64_t batches);

}  // namespace setun
