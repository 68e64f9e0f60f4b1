#include "sweep/estimate.h"

#include <algorithm>

#include "base/text.h"
#include "run/matmul_probe.h"
#include "sweep/tables.h"

namespace setun::sweep {
namespace {

// Where a time estimate comes from, and the estimate for one run.
struct Estimator {
  TimeModel model;
  double operations_per_second = 0;  // of the probe; 0: the model knows
  std::string source;

  double seconds(const PlannedRun& run) const {
    return operations_per_second > 0 ? training_operations(run) / operations_per_second
                                     : model.seconds_for(run).value_or(0);
  }
};

Estimator make_estimator(const Plan& plan, const Results& results) {
  Estimator estimator;
  estimator.model.observe_finished(plan, results);
  if (estimator.model.seconds_for(plan.runs.front())) {
    estimator.source =
        "estimate from the tokens per second of the runs that have finished, in proportion to "
        "parameters x tokens";
    return estimator;
  }
  const int64_t threads = plan.runs.front().config.run.threads;
  estimator.operations_per_second = run::matmul_flops_per_second(threads);
  estimator.source =
      str("rough estimate: 6 x parameters x tokens at the speed of a 512 x 512 matrix product "
          "measured now (",
          static_cast<int64_t>(estimator.operations_per_second / 1e9),
          " GFLOP/s); small models take several times as long");
  return estimator;
}

}  // namespace

double training_operations(const PlannedRun& run) {
  return 6.0 * static_cast<double>(run.check.parameters) * static_cast<double>(run.check.tokens);
}

void TimeModel::observe(const PlannedRun& run, double seconds) {
  operations_ += training_operations(run);
  seconds_ += seconds;
}

void TimeModel::observe_finished(const Plan& plan, const Results& results) {
  for (std::size_t i = 0; i < plan.runs.size(); ++i) {
    const double rate = results.runs[i].number("tokens_per_second").value_or(0);
    if (rate > 0) {
      observe(plan.runs[i], static_cast<double>(plan.runs[i].check.tokens) / rate);
    }
  }
}

std::optional<double> TimeModel::seconds_for(const PlannedRun& run) const {
  if (operations_ <= 0) {
    return std::nullopt;
  }
  return seconds_ / operations_ * training_operations(run);
}

std::string dry_run_table(const Plan& plan, const Results& results) {
  const Estimator estimator = make_estimator(plan, results);
  std::vector<std::vector<std::string>> rows = {
      {"run", "state", "parameters", "packed size", "memory (est.)", "tokens", "time (est.)"}};
  double total = 0, longest = 0;
  for (std::size_t i = 0; i < plan.runs.size(); ++i) {
    const PlannedRun& run = plan.runs[i];
    const bool finished = results.runs[i].state == RunState::kFinished;
    const double seconds = finished ? 0 : estimator.seconds(run);
    total += seconds;
    longest = std::max(longest, seconds);
    rows.push_back({run.name, std::string(enum_name(results.runs[i].state)),
                    thousands(run.check.parameters), human_bytes(run.check.packed_bytes),
                    human_bytes(run.check.training_bytes), thousands(run.check.tokens),
                    finished ? "-" : clock_text(seconds)});
  }
  const double all = std::max(longest, total / static_cast<double>(plan.file.parallel));
  return str(aligned_table(rows), plan.runs.size(), " runs, ", plan.file.parallel,
             " at a time: about ", clock_text(all), " to go (", estimator.source, ")\n");
}

}  // namespace setun::sweep
