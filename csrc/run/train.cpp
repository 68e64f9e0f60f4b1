// `setun train`: start or resume a run in its folder, hold the lock, print the table, train, write
// the summary.
#include <sys/resource.h>

#include <iostream>

#include "base/log.h"
#include "base/text.h"
#include "run/assemble.h"
#include "run/run.h"
#include "run/run_folder.h"
#include "train/signals.h"
#include "train/trainer.h"

namespace setun::run {
namespace {

double peak_memory() {
  struct rusage usage {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * 1024;
}

std::string reason_text(StopReason reason) {
  switch (reason) {
    case StopReason::kFinished:
      return "finished";
    case StopReason::kSignal:
      return "signal";
    case StopReason::kTimeLimit:
      return "time limit";
  }
  return "?";
}

TrainSummary summarize(const TrainResult& result, const AssembledTask& assembled) {
  TrainSummary summary{.reason = reason_text(result.reason),
                       .steps = result.steps,
                       .train_loss = result.train_loss,
                       .validation_loss = result.validation.loss,
                       .validation_accuracy = result.validation.accuracy,
                       .ngram_loss = 0,
                       .tokens_per_second = result.tokens_per_second,
                       .peak_memory_bytes = peak_memory(),
                       .packed_bytes = assembled.size.packed_bytes,
                       .parameters = assembled.size.parameters,
                       .checkpoint_stall_share = result.checkpoint_stall_share};
  if (result.reason == StopReason::kFinished && assembled.ngram_loss) {
    summary.ngram_loss = assembled.ngram_loss();
  }
  return summary;
}

void report(const RunConfig& config, const TrainSummary& summary) {
  std::cout << summary.reason << " at step " << summary.steps << ": training loss "
            << summary.train_loss;
  if (summary.validation_loss > 0) {
    std::cout << ", validation loss " << summary.validation_loss;
  }
  if (summary.validation_accuracy >= 0) {
    std::cout << ", accuracy " << 100 * summary.validation_accuracy << " %";
  }
  if (summary.ngram_loss > 0) {
    std::cout << " (" << config.eval.ngram << "-gram model: " << summary.ngram_loss << ")";
  }
  std::cout << ", " << static_cast<int64_t>(summary.tokens_per_second) << " " << unit_name(config)
            << "s/s, peak memory " << human_bytes(summary.peak_memory_bytes)
            << ", waited for checkpoints " << 100 * summary.checkpoint_stall_share
            << " % of the time\nrun folder: " << config.run.output << "\n";
  if (summary.reason != "finished") {
    std::cout << "everything is saved; run the same command again to resume\n";
  }
}

}  // namespace

TrainSummary train(const RunConfig& config, const std::string& config_yaml) {
  SETUN_CHECK(!config.run.output.empty(),
              "run.output: missing; name the run folder, e.g. run.output=runs/first");
  const fs::path folder = config.run.output;
  fs::create_directories(folder);
  const FileLock lock(folder / "run.lock");
  CheckpointStore checkpoints(folder, config.checkpoint);
  const std::optional<LoadedCheckpoint> saved = checkpoints.load_newest();
  if (saved) {
    check_same_recipe(config, saved->checkpoint.config_yaml, folder.string());
    if (saved->checkpoint.step >= total_steps(config)) {
      if (const std::optional<TrainSummary> done = read_summary(folder)) {
        log_info(folder.string(), ": this run has finished; its result:");
        report(config, *done);
        return *done;
      }
    }
  }
  set_up_process(config.run);
  std::cout << check(config).table << std::flush;
  const AssembledTask assembled = assemble_task(config);
  const std::unique_ptr<AdamW> optimizer =
      make_optimizer(config, assembled.task->parameters(), assembled.context->plan());
  write_file_atomic(folder / "config.yaml", config_yaml);
  Metrics metrics(folder, config.metrics, saved ? saved->checkpoint.step : 0, total_steps(config),
                  unit_name(config));
  Trainer trainer({.task = *assembled.task,
                   .context = *assembled.context,
                   .optimizer = *optimizer,
                   .metrics = metrics,
                   .checkpoints = checkpoints},
                  {.run = config.run,
                   .optim = config.optim,
                   .schedule = config.schedule,
                   .eval = config.eval,
                   .checkpoint = config.checkpoint,
                   .metrics = config.metrics,
                   .total_steps = total_steps(config),
                   .config_yaml = config_yaml});
  if (saved) {
    trainer.resume(saved->checkpoint);
    log_info("resumed from ", saved->path.string());
  }
  const SignalGuard signals;
  const TrainResult result = trainer.run(signals.stop_requested());
  const TrainSummary summary = summarize(result, assembled);
  if (result.reason == StopReason::kFinished) {
    write_summary(folder, summary);
  }
  report(config, summary);
  return summary;
}

}  // namespace setun::run
