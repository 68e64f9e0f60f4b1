// What the runs of a sweep came to: the state and the numbers of each run folder, and per arm and
// axes point the statistics of the metric. summary.json is read generically: every number in it is
// a result, whatever trained the run.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/enum_names.h"
#include "sweep/expand.h"
#include "sweep/statistics.h"

namespace setun::sweep {

// changed: finished, with a recipe whose numbers are not this one's.
enum class RunState { kWaiting, kUnfinished, kFailed, kChanged, kFinished };

}  // namespace setun::sweep

namespace setun {
template <>
struct EnumNames<sweep::RunState> {
  static constexpr auto table =
      enum_table<sweep::RunState>({{sweep::RunState::kWaiting, "waiting"},
                                   {sweep::RunState::kUnfinished, "unfinished"},
                                   {sweep::RunState::kFailed, "failed"},
                                   {sweep::RunState::kChanged, "changed"},
                                   {sweep::RunState::kFinished, "finished"}});
};
}  // namespace setun

namespace setun::sweep {

struct RunResult {
  RunState state = RunState::kWaiting;
  // In the order of summary.json; nan: there, but not finite. Of finished runs only.
  std::vector<std::pair<std::string, double>> numbers;

  std::optional<double> number(const std::string& field) const;
};

// Reads the run's folder. Throws setun::Error naming a damaged summary.json.
RunResult read_run(const PlannedRun& run);

// One arm at one point of the axes, over its seeds.
struct PointResult {
  std::string arm;
  std::vector<std::string> values;
  int64_t planned = 0;     // runs
  int64_t missing = 0;     // finished runs without the metric
  int64_t not_finite = 0;  // finished runs whose metric is not a finite number
  Moments metric;
  std::optional<PairedDifference> difference;  // to the baseline; absent for itself and without one
  bool best = false;                           // among points whose metric is whole
};

struct Results {
  std::vector<RunResult> runs;  // as Plan::runs
  std::vector<PointResult> points;
  std::vector<std::string> fields;  // of all summaries, in the order they appear
};

// `failed`: names of runs that failed in this process. Throws setun::Error when there are summaries
// and none has the metric, naming the fields they have.
// `finished` remembers, by name, runs that have finished: nothing of them changes any more.
using FinishedRuns = std::map<std::string, RunResult>;
Results read_results(const Plan& plan, const std::set<std::string>& failed, FinishedRuns& finished);
Results read_results(const Plan& plan, const std::set<std::string>& failed);

}  // namespace setun::sweep
