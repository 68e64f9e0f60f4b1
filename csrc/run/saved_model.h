// A model as a checkpoint left it: weights, and the quantization phase of its step.
#pragma once

#include <string>

#include "config/run_config.h"
#include "run/assemble.h"

namespace setun::run {

struct SavedModel {
  AssembledModel assembled;
  std::string path;  // checkpoint folder
  int64_t step = 0;
};

// `checkpoint`: a checkpoint folder or a run folder (its newest checkpoint). Throws Error listing
// tensors that do not fit.
SavedModel load_model(const RunConfig& config, const std::string& checkpoint, int64_t vocab_size);

}  // namespace setun::run
