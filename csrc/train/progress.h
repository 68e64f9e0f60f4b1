// The progress of a run on standard error: one line rewritten in place on a terminal, log lines in
// a pipe. Torch-free.
#pragma once

#include <chrono>
#include <string>

#include "train/metrics.h"

namespace setun {

// "step 120/1000  loss 3.2145  lr 1.2e-03  45,100 tokens/s  1:02 left", whole fields only, at most
// `width` characters. `unit` is "token" there.
std::string progress_text(const StepRecord& record, int64_t total_steps, double seconds_left,
                          std::size_t width, const std::string& unit = "token");

class Progress {
 public:
  // `first_step`: steps done before this process began, which its rate does not count.
  Progress(int descriptor, int64_t first_step, int64_t total_steps, std::string unit = "token");
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void update(const StepRecord& record);  // terminal only, at most ten times a second
  void record(const StepRecord& record);  // pipe only: one log line
  void clear();  // empties the terminal's line before something else is printed

 private:
  double seconds_left(const StepRecord& record) const;

  int descriptor_;
  bool terminal_;
  int64_t first_step_;
  int64_t total_steps_;
  std::string unit_;
  bool shown_ = false;
  std::chrono::steady_clock::time_point last_;
};

}  // namespace setun
