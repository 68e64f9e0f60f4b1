// One run of a sweep in a process of its own: `setun train <run>/recipe.yaml`, output appended to
// <run>/log.txt. It has its own process group, so that Ctrl-C reaches the sweep alone and a run
// gets one signal to stop; it gets SIGTERM when the sweep dies, whatever killed that.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>

#include "base/files.h"

namespace setun::sweep {

struct ChildEnd {
  int exit_code = -1;  // -1: by a signal
  int signal = 0;
};

class Child {
 public:
  // Starts this very program. Throws setun::Error when the log or the process cannot be made.
  explicit Child(const fs::path& run_folder);
  ~Child();  // asks it to stop and waits, when it still runs
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  std::optional<ChildEnd> poll();                   // nullopt: it still runs
  void ask_to_stop() const;                         // SIGTERM: train saves and ends
  double seconds() const;                           // since the start
  std::string last_lines(std::size_t count) const;  // of what it wrote since the start

 private:
  fs::path log_;
  std::size_t log_start_ = 0;
  pid_t id_ = -1;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace setun::sweep
