#include "sweep/sweep.h"

#include <iostream>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "sweep/estimate.h"
#include "sweep/expand.h"
#include "sweep/results.h"
#include "sweep/scheduler.h"
#include "sweep/tables.h"
#include "train/signals.h"

namespace setun::sweep {
namespace {

// Runs that are not finished; one whose recipe changed goes to train, which says what changed.
std::vector<std::size_t> runs_to_do(const Results& results) {
  std::vector<std::size_t> todo;
  for (std::size_t i = 0; i < results.runs.size(); ++i) {
    if (results.runs[i].state != RunState::kFinished) {
      todo.push_back(i);
    }
  }
  return todo;
}

// After a run has ended. A metric that no run has yet is no reason to stop the others: finished
// runs are never repeated, so the metric can be corrected afterwards.
void write_what_there_is(const Plan& plan, const std::set<std::string>& failed,
                         FinishedRuns& finished) {
  try {
    write_results(plan, read_results(plan, failed, finished));
  } catch (const Error& problem) {
    log_warning("no table of results: ", problem.what());
  }
}

void report(const Plan& plan, const Outcome& outcome) {
  const Results results = read_results(plan, outcome.failed);
  write_results(plan, results);
  std::cout << results_table(plan, results) << "results: " << plan.file.output
            << "/results.{md,csv,json}\n";
  if (outcome.stopped || !outcome.unfinished.empty()) {
    std::cout << outcome.unfinished.size()
              << " runs are not finished; run the same command again to resume\n";
  }
  std::cout << std::flush;
  const std::vector<std::string> failed(outcome.failed.begin(), outcome.failed.end());
  SETUN_CHECK(failed.empty(), failed.size(), " of ", plan.runs.size(),
              " runs failed: ", join(failed, ", "),
              "\nTheir log.txt says why; run the same command again to restart them");
}

void run_all(const Plan& plan) {
  const fs::path folder = plan.file.output;
  fs::create_directories(folder);
  const FileLock lock(folder / "sweep.lock", "output");
  remove_temporaries(folder);
  FinishedRuns finished;
  const Results before = read_results(plan, {}, finished);
  TimeModel times;
  times.observe_finished(plan, before);
  Scheduler scheduler(plan, runs_to_do(before), times, [&](const std::set<std::string>& failed) {
    write_what_there_is(plan, failed, finished);
  });
  const SignalGuard signals;
  report(plan, scheduler.run(signals.stop_requested()));
}

}  // namespace

void sweep(const std::string& path, const std::vector<std::string>& overrides, Mode mode) {
  const Plan plan = expand(load_sweep(path, overrides));
  for (const std::string& warning : plan.warnings) {
    log_warning(warning);
  }
  switch (mode) {
    case Mode::kRun:
      return run_all(plan);
    case Mode::kDryRun:
      std::cout << dry_run_table(plan, read_results(plan, {}));
      return;
    case Mode::kTable:
      std::cout << results_table(plan, read_results(plan, {}));
      return;
  }
}

}  // namespace setun::sweep
