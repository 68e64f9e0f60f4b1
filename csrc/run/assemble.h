// RunConfig -> objects. With run/*.cpp the only place that knows every component; no decision on a
// method is taken here.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "config/run_config.h"
#include "data/loader.h"
#include "model/decoder_lm.h"
#include "model/layer_table.h"
#include "optim/adamw.h"
#include "quant/quant_context.h"
#include "run/plan.h"
#include "train/task.h"

namespace setun::run {

// Threads, matrix-product precision and device of this process. Throws Error when the device is not
// to be had.
void set_up_process(const RunOptions& options);
// Where the run's tensors are; set_up_process has seen that it is to be had.
at::Device device_of(const RunOptions& options);
// LibTorch's backend of fp32 products, from now on.
void set_matmul_precision(MatmulPrecision precision);

// A decoder for an existing vocabulary: what generate and bench need.
struct AssembledModel {
  ModelOptions options;  // vocab_size resolved
  DecoderLM model{nullptr};
  std::unique_ptr<QuantContext> context;
};
// Builds and initialises the model for a vocabulary. Throws Error when model.vocab_size is given
// and smaller.
AssembledModel assemble_model(const RunConfig& config, int64_t vocab_size);

// What the recipe trains and evaluates: its data prepared, its model initialised.
struct AssembledTask {
  std::unique_ptr<QuantContext> context;
  std::unique_ptr<Task> task;
  SizeEstimate size;
  std::function<double()> ngram_loss;  // of eval.ngram on the validation split; null: none
};
AssembledTask assemble_task(const RunConfig& config);

std::unique_ptr<AdamW> make_optimizer(const RunConfig& config,
                                      const std::vector<NamedTensor>& parameters,
                                      const QuantPlan& plan);

}  // namespace setun::run
