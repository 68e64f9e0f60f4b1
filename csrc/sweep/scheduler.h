// Runs N processes at a time until every run has ended or a signal asks to stop. A failed run is
// reported and does not stop the others. Holds no results: what a run came to is read from its
// folder.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <list>
#include <set>
#include <string>
#include <vector>

#include "sweep/child.h"
#include "sweep/estimate.h"
#include "sweep/expand.h"

namespace setun::sweep {

struct Outcome {
  std::set<std::string> failed;      // names
  std::set<std::string> unfinished;  // stopped at run.minutes, or by a signal
  bool stopped = false;              // by a signal
};

class Scheduler {
 public:
  // `todo`: indices of plan.runs. `ended` is called after every run that has ended, with the names
  // of those that failed so far. All references outlive the scheduler.
  Scheduler(const Plan& plan, std::vector<std::size_t> todo, TimeModel times,
            std::function<void(const std::set<std::string>& failed)> ended);
  // stop_requested: set by a signal handler. Running runs are asked to save and are waited for.
  Outcome run(const std::atomic<bool>& stop_requested);

 private:
  struct Running {
    Running(std::size_t run, const fs::path& folder)
        : index(run), resumes(fs::exists(folder / "checkpoints")), child(folder) {}
    std::size_t index;
    bool resumes;  // its time tells nothing about a whole run
    Child child;
  };

  bool start_one();
  void poll_running();
  void end(const Running& running, const ChildEnd& ended);
  void report_failure(const Running& running, const ChildEnd& ended);
  std::string time_left() const;
  std::string counts() const;

  const Plan& plan_;
  std::deque<std::size_t> waiting_;
  std::list<Running> running_;
  TimeModel times_;
  std::function<void(const std::set<std::string>&)> ended_;
  Outcome outcome_;
  std::size_t total_;
  std::size_t done_ = 0;
  std::set<std::string> announced_;  // runs an earlier process still holds
};

}  // namespace setun::sweep
