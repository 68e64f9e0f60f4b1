// The training loop: batch -> forward -> loss -> backward (times accumulate) -> estimators -> clip
// -> optimizer -> records. No branch on a method or on a kind of model: what is quantized is in the
// QuantPlan, strengths are in the StepState, model and data are behind the Task. A step that was
// interrupted leaves no trace: resume() continues from a checkpoint bit for bit.
#pragma once

#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "optim/adamw.h"
#include "optim/schedule.h"
#include "quant/projected_weights.h"
#include "train/layer_metrics.h"
#include "train/metrics.h"
#include "train/step_graph.h"
#include "train/task.h"

namespace setun {

// What a run is assembled from; the trainer borrows everything.
struct TrainerParts {
  Task& task;
  QuantContext& context;
  AdamW& optimizer;
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
  std::string config_yaml;
};

enum class StopReason { kFinished, kSignal, kTimeLimit };

struct TrainResult {
  StopReason reason = StopReason::kFinished;
  int64_t steps = 0;
  double train_loss = 0;  // of the last step
  EvalResult validation;  // after the last step; tokens == 0 when there is no validation split
  double tokens_per_second = 0;       // of training steps alone, this process
  double checkpoint_stall_share = 0;  // time spent waiting for saves / time of training steps
};

// The optimizer leaves a weight's codes behind where an integer product reads them, and the context
// takes them from there. The optimizer must outlive the context's steps.
void share_ternary(QuantContext& context, AdamW& optimizer,
                   const std::vector<NamedLinear>& linears);

class Trainer {
 public:
  Trainer(TrainerParts parts, TrainerOptions options);
  ~Trainer();  // the context no longer asks the optimizer
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  // Puts model, optimizer, loader and counters where the checkpoint left them. Throws Error when
  // the training data is not the checkpoint's, or listing every tensor that does not fit.
  void resume(const Checkpoint& checkpoint);

  // Trains until the last step, the time limit, or stop_requested; the state is saved in every
  // case.
  TrainResult run(const std::atomic<bool>& stop_requested);

 private:
  struct Interval {  // since the last metrics record; saved, so that a resumed run logs the same
                     // means
    double loss_sum = 0;
    double auxiliary_sum = 0;
    int64_t steps = 0;
    int64_t tokens = 0;  // of this process, for rates only
    double seconds = 0;
  };

  // Of one step. The auxiliary is the term that the task adds to the objective; absent: none.
  struct StepLoss {
    double loss = 0;
    std::optional<double> auxiliary;
  };

  StepState state_at(int64_t step) const;
  void train_step();
  // The device's half of a step up to the gradient's norm, for the sample that was taken.
  StepTensors compute();
  StepLoss read(const StepTensors& tensors, const StepSample& sample);
  void update(double loss, const StepState& state);
  void apply_update(const StepState& state);
  void reject_non_finite(double loss, const StepState& state);
  void after_step(const StepState& state);
  void evaluate_now();
  void save();
  std::vector<NamedTensor> optimizer_tensors() const;

  TrainerParts parts_;
  TrainerOptions options_;
  LayerMetrics layer_metrics_;
  std::vector<NamedLinear> linears_;
  ProjectedWeights projected_;
  at::Device device_;
  at::Tensor valid_targets_;        // of the step, fp32 on the device
  std::optional<StepGraph> graph_;  // with run.cuda_graph, while running
  int64_t step_ = 0;                // optimizer steps done
  int64_t tokens_ = 0;              // training tokens seen
  double last_loss_ = 0;
  std::optional<double> last_auxiliary_;
  double last_grad_norm_ = 0;
  Interval interval_;
  double best_loss_ = -1;
  int64_t best_step_ = -1;
  EvalResult last_eval_;
  int64_t last_eval_step_ = -1;
  int64_t last_saved_step_ = -1;
  double train_seconds_ = 0;
  int64_t process_tokens_ = 0;
};

}  // namespace setun
