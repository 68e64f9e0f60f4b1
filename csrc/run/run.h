// The verbs of the program on a decoded recipe. Torch-free on purpose: cli includes only this and
// config.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"
#include "config/run_config.h"

namespace setun::run {

// Rules that need the layer table, the quantization plan and the size estimate, without making a
// tensor. Findings carry full keys ("quant.layers[0].match").
struct CheckReport {
  Errors errors;
  std::string table;  // parameters, packed size, memory, phases: what `train` prints at start
  int64_t parameters = 0;
  double packed_bytes = 0;
  double training_bytes = 0;  // estimated peak of one step
  int64_t tokens = 0;         // of the whole run
};
CheckReport check(const RunConfig& config);

// What summary.json in the run folder holds.
struct TrainSummary {
  std::string reason;  // "finished", "signal", "time limit"
  int64_t steps = 0;
  double train_loss = 0;
  double validation_loss = 0;       // nats per token or sample; 0 without a validation split
  double validation_accuracy = -1;  // of a classifier, 0 to 1; -1: none
  double ngram_loss = 0;            // of the eval.ngram baseline; 0 when off
  double tokens_per_second = 0;
  double peak_memory_bytes = 0;  // resident set of the process
  double packed_bytes = 0;
  int64_t parameters = 0;
  double checkpoint_stall_share =
      0;  // time training waited for saves / time of training steps, this process
};
// Trains, or resumes when config.run.output already holds a run. `config_yaml` is the resolved
// recipe.
TrainSummary train(const RunConfig& config, const std::string& config_yaml);

void prepare(const RunConfig& config);                                  // setun data
void evaluate(const RunConfig& config, const std::string& checkpoint);  // setun eval
void generate(const RunConfig& config, const std::string& checkpoint);  // setun generate
void inspect(const std::string& path);                                  // setun inspect

}  // namespace setun::run
