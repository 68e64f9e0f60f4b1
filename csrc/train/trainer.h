// The training loop: batch -> forward -> loss -> backward (times accumulate) -> estimators -> clip -> optimizer -> records.
// No branch on a method: what is quantized is in the QuantPlan, strengths are in the StepState.
#pragma once

#include <atomic>
#include <functional>

#include "checkpoint/checkpoint.h"
#include "data/loader.h"
#include "eval/perplexity.h"
#include "model/decoder_lm.h"
#include "optim/adamw.h"
#include "optim/schedule.h"
#include "train/metrics.h"

namespace setun {

struct TrainerParts {
  DecoderLM model;
  QuantContext& context;
  AdamW& optimizer;
  Loader& train;
  Loader* validation;  // may be null
  Metrics& metrics;
  CheckpointStore& checkpoints;
};

struct TrainerOptions {
  RunOptions run;
  OptimOptions optim;
  ScheduleOptions schedule;
  EvalOptions eval;
  CheckpointOptions checkpoint;
  MetricsOptions metrics;
  int64_t total_steps = 0;
  int64_t validation_bytes = 0;
  std::string config_yaml;
  std::string data_fingerprint;
};

enum class StopReason { kFinished, kSignal, kTimeLimit };

struct TrainResult {
  StopReason reason = StopReason::kFinished;
  int64_t steps = 0;
  double train_loss = 0;
  EvalResult validation;
  double tokens_per_second = 0;
};

class Trainer {
 public:
  Trainer(TrainerParts parts, TrainerOptions options);
  void resume(const Checkpoint& checkpoint);
  TrainResult run(const std::atomic<bool>& stop_requested);
};

}  // namespace setun
