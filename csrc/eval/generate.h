// Sampling from the model with a key-value cache: temperature, top-k, top-p, seed; greedy at
// temperature 0.
#pragma once

#include <functional>
#include <vector>

#include "model/decoder_lm.h"
#include "train/run_options.h"

namespace setun {

// Continues `prompt` (at least one token) by up to options.tokens tokens, which it returns, calling
// on_token after each. Stops at end_of_text, which is not part of the result. Draw i depends on
// (options.seed, i) alone, never on the global generator. Throws Error when the prompt is empty,
// holds a token >= vocab_size, or with tokens exceeds model.max_context.
std::vector<uint32_t> generate(DecoderLM& model, QuantContext& context,
                               const std::vector<uint32_t>& prompt, uint32_t end_of_text,
                               const GenerateOptions& options,
                               const std::function<void(uint32_t)>& on_token = {});

// The token of the largest of logits_V [V], any float dtype; the lowest of equal ones.
uint32_t greedy_token(const at::Tensor& logits_V);

// The token that `uniform` in [0, 1) selects from softmax(logits / temperature) restricted to the
// top_k most probable tokens and of these, renormalised, to the fewest whose probabilities reach
// top_p. Temperature 0: greedy_token. Ties go to the lower token. logits_V [V], any
// float dtype.
uint32_t sample_token(const at::Tensor& logits_V, const GenerateOptions& options, double uniform);

}  // namespace setun
