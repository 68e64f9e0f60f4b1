// A whole recipe, decoded. Only run, sweep and cli see this; every component receives its own
// struct.
#pragma once

#include "data/data_options.h"
#include "model/model_options.h"
#include "optim/optim_options.h"
#include "quant/quant_options.h"
#include "train/run_options.h"

namespace setun {

struct RunConfig {
  ModelOptions model;
  DataOptions data;
  OptimOptions optim;
  ScheduleOptions schedule;
  QuantOptions quant;
  RunOptions run;
  EvalOptions eval;
  CheckpointOptions checkpoint;
  MetricsOptions metrics;
  GenerateOptions generate;
  bool operator==(const RunConfig&) const = default;
};

}  // namespace setun
