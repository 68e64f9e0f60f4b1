// Facts of a run that follow from the recipe alone: steps, vocabulary, quantization plan.
// Torch-free.
#pragma once

#include "config/run_config.h"
#include "quant/quant_plan.h"

namespace setun::run {

// Optimizer steps of the run: run.steps, or run.tokens rounded up to whole steps.
int64_t total_steps(const RunConfig& config);

// Tokens, or samples of a classifier, that one optimizer step takes; and what they are called.
int64_t units_per_step(const RunConfig& config);
const char* unit_name(const RunConfig& config);  // "token" or "sample"

// The vocabulary before the tokenizer exists: model.vocab_size, or what data.tokenizer will make; 0
// when only files tell.
int64_t planned_vocab(const RunConfig& config);

// The plan for a checked recipe; throws Error with every finding. `model`: the recipe's, or that
// with sizes that only the data tells.
QuantPlan make_plan(const ModelOptions& model, const RunConfig& config);

}  // namespace setun::run
