// Signals of a training process. The first SIGINT, SIGTERM or SIGHUP asks the loop to stop after
// its step; the second ends the process at once with 128 + its number (130 for Ctrl-C). SIGPIPE and
// SIGXFSZ are ignored, so that a closed pipe or a file size limit is an error of one write and not
// the end of the run. A signal that was ignored at start (nohup) stays so.
#pragma once

#include <signal.h>

#include <array>
#include <atomic>

namespace setun {

// Installs the handlers for its lifetime; one at a time in a process.
class SignalGuard {
 public:
  SignalGuard();
  ~SignalGuard();
  SignalGuard(const SignalGuard&) = delete;
  SignalGuard& operator=(const SignalGuard&) = delete;
  const std::atomic<bool>& stop_requested() const;

 private:
  static constexpr std::array<int, 5> kSignals = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGXFSZ};
  std::array<struct sigaction, kSignals.size()> before_{};
};

}  // namespace setun
