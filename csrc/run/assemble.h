// RunConfig -> objects. With run/*.cpp the only place that knows every component; no decision on a
// method is taken here.
#pragma once

#include <memory>
#include <string>

#include "config/run_config.h"
#include "data/loader.h"
#include "model/decoder_lm.h"
#include "optim/adamw.h"
#include "quant/quant_context.h"
#include "run/plan.h"

namespace setun::run {

// Threads, matrix-product precision and device of this process. Throws Error when the device is not
// to be had.
void set_up_process(const RunOptions& options);

struct AssembledModel {
  ModelOptions options;  // vocab_size resolved
  DecoderLM model{nullptr};
  std::unique_ptr<QuantContext> context;
};
// Builds and initialises the model for a vocabulary. Throws Error when model.vocab_size is given
// and smaller.
AssembledModel assemble_model(const RunConfig& config, int64_t vocab_size);

std::unique_ptr<Loader> make_train_loader(const RunConfig& config, const PreparedData& data);
// Null when the corpus leaves no whole validation batch.
std::unique_ptr<Loader> make_validation_loader(const RunConfig& config, const PreparedData& data);

std::unique_ptr<AdamW> make_optimizer(const RunConfig& config, AssembledModel& assembled);

}  // namespace setun::run
