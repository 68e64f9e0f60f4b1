// A checkpoint's weights put into a model, and the quantization phase of its step into the context.
#pragma once

#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "config/run_config.h"
#include "quant/quant_context.h"

namespace setun::run {

struct RestoredFrom {
  std::string path;  // checkpoint folder
  int64_t step = 0;
};

// `checkpoint`: a checkpoint folder or a run folder (its newest checkpoint). Throws Error listing
// tensors that do not fit.
RestoredFrom restore_model(const RunConfig& config, const std::string& checkpoint,
                           const std::vector<NamedTensor>& parameters, QuantContext& context);

}  // namespace setun::run
