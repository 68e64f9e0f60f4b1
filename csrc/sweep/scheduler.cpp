#include "sweep/scheduler.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "config/config.h"
#include "sweep/results.h"

namespace setun::sweep {
namespace {

constexpr useconds_t kPollInterval = 20'000;  // microseconds
constexpr std::size_t kShownLines = 10;

// What the child reads, written anew each time: the sweep file may have changed since.
void prepare_folder(const PlannedRun& run) {
  fs::create_directories(run.folder);
  remove_temporaries(run.folder);
  write_file_atomic(run.folder / "recipe.yaml", config::emit_yaml(run.config, /*full=*/true));
}

}  // namespace

Scheduler::Scheduler(const Plan& plan, std::vector<std::size_t> todo, TimeModel times,
                     std::function<void(const std::set<std::string>&)> ended)
    : plan_(plan),
      waiting_(todo.begin(), todo.end()),
      times_(times),
      ended_(std::move(ended)),
      total_(plan.runs.size()),
      done_(plan.runs.size() - todo.size()) {}

Outcome Scheduler::run(const std::atomic<bool>& stop_requested) {
  const auto parallel = static_cast<std::size_t>(plan_.file.parallel);
  while (!waiting_.empty() || !running_.empty()) {
    if (stop_requested && !outcome_.stopped) {
      outcome_.stopped = true;
      for (const std::size_t index : waiting_) {
        outcome_.unfinished.insert(plan_.runs[index].name);
      }
      waiting_.clear();
      for (const Running& running : running_) {
        running.child.ask_to_stop();
      }
      log_info("asked ", running_.size(), " running runs to save and stop");
    }
    while (running_.size() < parallel && !waiting_.empty() && start_one()) {
    }
    poll_running();
    if (!running_.empty() || !waiting_.empty()) {
      ::usleep(kPollInterval);
    }
  }
  return outcome_;
}

// Starts the first waiting run whose folder is free: one of a sweep that was killed may still be
// saving. False when there is none.
bool Scheduler::start_one() {
  for (auto at = waiting_.begin(); at != waiting_.end(); ++at) {
    const PlannedRun& run = plan_.runs[*at];
    const std::string owner = lock_owner(run.folder / "run.lock");
    if (!owner.empty()) {
      if (announced_.insert(run.name).second) {
        log_info(run.name, ": waiting for process ", owner, ", which works in its folder");
      }
      continue;
    }
    if (announced_.count(run.name) > 0 && read_run(run).state == RunState::kFinished) {
      ++done_;
      waiting_.erase(at);
      log_info("finished  ", run.name, "  by that process  ", counts(), time_left());
      ended_(outcome_.failed);
      return true;
    }
    prepare_folder(run);
    running_.emplace_back(*at, run.folder);
    waiting_.erase(at);
    log_info("started   ", run.name, "  ", counts(), time_left());
    return true;
  }
  return false;
}

void Scheduler::poll_running() {
  for (auto at = running_.begin(); at != running_.end();) {
    if (const std::optional<ChildEnd> ended = at->child.poll()) {
      const auto done = at++;
      std::list<Running> one;
      one.splice(one.begin(), running_, done);  // no longer running, so not counted as such
      end(one.front(), *ended);
    } else {
      ++at;
    }
  }
}

void Scheduler::end(const Running& running, const ChildEnd& ended) {
  const PlannedRun& run = plan_.runs[running.index];
  const double seconds = running.child.seconds();
  const RunResult result = ended.exit_code == 0 ? read_run(run) : RunResult{};
  ++done_;
  if (result.state == RunState::kFinished) {
    if (!running.resumes) {
      times_.observe(run, seconds);
    }
    const std::optional<double> metric = result.number(plan_.file.metric);
    log_info("finished  ", run.name, "  ",
             metric ? str(plan_.file.metric, " ", *metric) : "without " + plan_.file.metric, " in ",
             clock_text(seconds), "  ", counts(), time_left());
  } else if (ended.exit_code == 0 || (outcome_.stopped && ended.signal == SIGTERM)) {
    outcome_.unfinished.insert(run.name);
    log_info("saved     ", run.name, "  unfinished, after ", clock_text(seconds), "  ", counts());
  } else {
    report_failure(running, ended);
  }
  ended_(outcome_.failed);
}

void Scheduler::report_failure(const Running& running, const ChildEnd& ended) {
  const PlannedRun& run = plan_.runs[running.index];
  outcome_.failed.insert(run.name);
  log_message(
      LogLevel::kError,
      str("failed    ", run.name, "  after ", clock_text(running.child.seconds()), " by ",
          ended.exit_code >= 0 ? str("exit code ", ended.exit_code) : str("signal ", ended.signal),
          "  ", counts(), "; the end of ", (run.folder / "log.txt").string(), ":\n",
          running.child.last_lines(kShownLines)));
}

std::string Scheduler::counts() const {
  return str("(", done_, " of ", total_, " ended, ", running_.size(), " running)");
}

// ", about 1:02 left" as soon as a run has told how long one takes.
std::string Scheduler::time_left() const {
  double left = 0, longest = 0;
  const auto add = [&](const PlannedRun& run, double already) {
    const std::optional<double> whole = times_.seconds_for(run);
    const double seconds = std::max(0.0, whole.value_or(-1) - already);
    left += seconds;
    longest = std::max(longest, seconds);
    return whole.has_value();
  };
  bool known = true;
  for (const std::size_t index : waiting_) {
    known = add(plan_.runs[index], 0) && known;
  }
  for (const Running& running : running_) {
    known = add(plan_.runs[running.index], running.child.seconds()) && known;
  }
  if (!known || (waiting_.empty() && running_.empty())) {
    return "";
  }
  const double all = std::max(longest, left / static_cast<double>(plan_.file.parallel));
  return ", about " + clock_text(all) + " left";
}

}  // namespace setun::sweep
