// `setun train`: start or resume a run in its folder, hold the lock, print the table, train, write
// the summary.
#include <sys/resource.h>

#include <iostream>

#include "base/log.h"
#include "base/text.h"
#include "model/layer_table.h"
#include "run/assemble.h"
#include "run/ngram.h"
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

TrainerOptions trainer_options(const RunConfig& config, const std::string& config_yaml,
                               const PreparedData& data, const Loader* validation) {
  TrainerOptions options{.run = config.run,
                         .optim = config.optim,
                         .schedule = config.schedule,
                         .eval = config.eval,
                         .checkpoint = config.checkpoint,
                         .metrics = config.metrics,
                         .total_steps = total_steps(config),
                         .validation_tokens_per_byte = 0,
                         .config_yaml = config_yaml,
                         .data_fingerprint = data_fingerprint(data.train)};
  if (validation != nullptr && data.validation_bytes > 0) {
    int64_t tokens = 0;
    for (const TokenSlice& slice : data.validation) {
      tokens += static_cast<int64_t>(slice.size());
    }
    options.validation_tokens_per_byte =
        static_cast<double>(tokens) / static_cast<double>(data.validation_bytes);
  }
  return options;
}

TrainSummary summarize(const RunConfig& config, const TrainResult& result,
                       const AssembledModel& assembled, const PreparedData& data) {
  const SizeEstimate size =
      estimate_size(assembled.options, assembled.context->plan(), config.data.batch,
                    config.data.context, config.run.recompute_blocks);
  TrainSummary summary{.reason = reason_text(result.reason),
                       .steps = result.steps,
                       .train_loss = result.train_loss,
                       .validation_loss = result.validation.loss,
                       .ngram_loss = 0,
                       .tokens_per_second = result.tokens_per_second,
                       .peak_memory_bytes = peak_memory(),
                       .packed_bytes = size.packed_bytes,
                       .parameters = size.parameters,
                       .checkpoint_stall_share = result.checkpoint_stall_share};
  if (result.reason == StopReason::kFinished && config.eval.ngram > 0 && !data.validation.empty()) {
    summary.ngram_loss = ngram_loss_of(data, config.eval.ngram);
  }
  return summary;
}

void report(const RunConfig& config, const TrainSummary& summary) {
  std::cout << summary.reason << " at step " << summary.steps << ": training loss "
            << summary.train_loss;
  if (summary.validation_loss > 0) {
    std::cout << ", validation loss " << summary.validation_loss;
  }
  if (summary.ngram_loss > 0) {
    std::cout << " (" << config.eval.ngram << "-gram model: " << summary.ngram_loss << ")";
  }
  std::cout << ", " << static_cast<int64_t>(summary.tokens_per_second) << " tokens/s, peak memory "
            << human_bytes(summary.peak_memory_bytes) << ", waited for checkpoints "
            << 100 * summary.checkpoint_stall_share
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
  const PreparedData data = prepare_data(config.data);
  AssembledModel assembled = assemble_model(config, data.vocab_size);
  const std::unique_ptr<AdamW> optimizer = make_optimizer(config, assembled);
  const std::unique_ptr<Loader> train_loader = make_train_loader(config, data);
  const std::unique_ptr<Loader> validation = make_validation_loader(config, data);
  write_file_atomic(folder / "config.yaml", config_yaml);
  Metrics metrics(folder, config.metrics, saved ? saved->checkpoint.step : 0, total_steps(config));
  Trainer trainer({.model = assembled.model,
                   .context = *assembled.context,
                   .optimizer = *optimizer,
                   .train = *train_loader,
                   .validation = validation.get(),
                   .metrics = metrics,
                   .checkpoints = checkpoints},
                  trainer_options(config, config_yaml, data, validation.get()));
  if (saved) {
    check_fingerprint(saved->checkpoint.data_fingerprint, data.train);
    trainer.resume(saved->checkpoint);
    log_info("resumed from ", saved->path.string());
  }
  const SignalGuard signals;
  const TrainResult result = trainer.run(signals.stop_requested());
  const TrainSummary summary = summarize(config, result, assembled, data);
  if (result.reason == StopReason::kFinished) {
    write_summary(folder, summary);
  }
  report(config, summary);
  return summary;
}

}  // namespace setun::run
