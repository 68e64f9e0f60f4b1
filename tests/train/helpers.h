// Shared by the tests of checkpoints and records: checkpoints that are a function of their step,
// child processes, and what was printed to standard error.
#pragma once

#include <functional>
#include <string>

#include "checkpoint/checkpoint.h"
#include "support/catch.h"

namespace setun::test {

// Every field and every stored dtype differs from step to step.
Checkpoint make_checkpoint(int64_t step);
// The first field that differs, or "".
std::string difference(const Checkpoint& a, const Checkpoint& b);

// Runs `body` in a forked child; returns waitpid's status. The child exits with body's value, or 99
// after an exception.
int in_child(const std::function<int()>& body);
bool killed(int status);    // by SIGKILL
int exit_code(int status);  // -1 when it did not exit

// Collects what this process writes to standard error while it lives.
class StderrCapture {
 public:
  StderrCapture();
  ~StderrCapture();
  std::string text() const;

 private:
  TempDir folder_;
  int saved_;
};

}  // namespace setun::test
