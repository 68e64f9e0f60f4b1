// The verbs of the program on a decoded recipe. Torch-free on purpose: cli and sweep include only this.
#pragma once

#include <string>
#include <vector>

#include "config/run_config.h"

namespace setun::run {

// Cross-section rules, layer table, quantization plan and size estimate, without making a tensor.
// Findings carry full keys ("quant.layers[0].match").
struct CheckReport {
  Errors errors;
  std::string table;  // parameters, packed size, memory, phases: what `train` prints at start
};
CheckReport check(const RunConfig& config);

struct TrainSummary {
  std::string reason;      // "finished", "signal", "time limit"
  int64_t steps = 0;
  double train_loss = 0;
  double validation_loss = 0;
  double tokens_per_second = 0;
  double packed_bytes = 0;
};
// Trains, or resumes when config.run.output already holds a run. `config_yaml` is the resolved recipe.
TrainSummary train(const RunConfig& config, const std::string& config_yaml);

void prepare(const RunConfig& config);                                     // setun data
void evaluate(const RunConfig& config, const std::string& checkpoint);     // setun eval
void generate(const RunConfig& config, const std::string& checkpoint);     // setun generate
void inspect(const std::string& path);                                     // setun inspect

}  // namespace setun::run
