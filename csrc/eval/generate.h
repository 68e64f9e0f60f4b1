// Sampling from the model with a key-value cache: temperature, top-k, top-p, seed; greedy at temperature 0.
#pragma once

#include <functional>
#include <vector>

#include "model/decoder_lm.h"
#include "train/run_options.h"

namespace setun {

// Continues `prompt` (at least one token) by up to options.tokens tokens, calling on_token after each; stops at end_of_text.
// Throws Error when prompt plus tokens exceed model.max_context.
std::vector<uint32_t> generate(DecoderLM& model, QuantContext& context, const std::vector<uint32_t>& prompt,
                               uint32_t end_of_text, const GenerateOptions& options,
                               const std::function<void(uint32_t)>& on_token = {});

}  // namespace setun
