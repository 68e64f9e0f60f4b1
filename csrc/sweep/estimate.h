// How long runs take, from what is known: the speed of runs of the same sweep that have finished,
// else a rough count of operations at the speed of a matrix product measured now. Estimates only;
// nothing depends on them.
#pragma once

#include <optional>
#include <string>

#include "sweep/results.h"

namespace setun::sweep {

// 6 x parameters x tokens: the operations of a dense network's training, attention left out.
double training_operations(const PlannedRun& run);

// Seconds in proportion to training_operations.
class TimeModel {
 public:
  // A run took so long.
  void observe(const PlannedRun& run, double seconds);
  // From the tokens per second of every finished run.
  void observe_finished(const Plan& plan, const Results& results);
  std::optional<double> seconds_for(const PlannedRun& run) const;  // nullopt: nothing observed

 private:
  double operations_ = 0;
  double seconds_ = 0;
};

// A table of all runs: state, parameters, packed size, memory, tokens, time.
std::string dry_run_table(const Plan& plan, const Results& results);

}  // namespace setun::sweep
