// The real program in a process of its own, and a tiny run for it: bytes tokenizer, generated text,
// gradient accumulation, a quantization phase with a ramp in the middle.
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <vector>

#include "support/catch.h"

namespace setun::test {

struct Ended {
  int exit_code = -1;  // -1: by a signal
  int signal = 0;
  std::string out, err;
};

// `setun <arguments>`. A fault point "name:count" makes the process kill itself there.
class Process {
 public:
  Process(const std::vector<std::string>& arguments, const std::string& fault_point = "",
          std::optional<std::size_t> file_size_limit = {});
  ~Process();  // kills it when it still runs
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t id() const { return id_; }
  void send(int signal) const;
  std::string err() const { return read_text(folder_ / "err"); }
  // Waits for the end; fails the test after 60 seconds.
  Ended wait();
  // Waits at most so long; nullopt: it still runs.
  std::optional<Ended> wait_for(double seconds);

 private:
  TempDir folder_;
  pid_t id_ = -1;
};

// Polls until `condition` holds; fails the test after 60 seconds.
template <class Condition>
void wait_until(const char* what, Condition condition);

// A recipe, its text and its run folders below one temporary folder.
class TinyRun {
 public:
  TinyRun();
  // Arguments of `setun train` for the run folder `name`.
  std::vector<std::string> train(const std::string& name,
                                 const std::vector<std::string>& overrides = {}) const;
  std::filesystem::path run(const std::string& name) const { return folder_ / name; }
  std::filesystem::path text() const { return folder_ / "text.txt"; }
  // Trains to the end; fails the test when that does not end well.
  Ended finish(const std::string& name, const std::vector<std::string>& overrides = {}) const;

 private:
  TempDir folder_;
};
inline constexpr int64_t kTinySteps = 24;

int64_t count_lines(const std::filesystem::path& path);  // 0 when the file is absent

// What differs between two finished runs in weights, optimizer state, counters and logged numbers,
// times and rates apart;
// "" when nothing does.
std::string run_difference(const std::filesystem::path& a, const std::filesystem::path& b);

// The same of the logged numbers alone.
std::string logged_difference(const std::filesystem::path& a, const std::filesystem::path& b);

template <class Condition>
void wait_until(const char* what, Condition condition) {
  for (int i = 0; i < 6000; ++i) {
    if (condition()) {
      return;
    }
    usleep(10'000);
  }
  FAIL("waited 60 seconds for " << what);
}

}  // namespace setun::test
