// Whole runs of a recipe at a tiny size on the CPU or the pretended device, in folders of one
// test's own; what they wrote and printed, and bounds between two of them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "config/config.h"
#include "run/run.h"
#include "support/catch.h"

namespace setun::test {

using Overrides = std::vector<std::string>;

struct Case {
  std::string recipe;  // below the source folder
  Overrides overrides = {};
  int steps = 8;
};

std::filesystem::path source_folder();

class Runs {
 public:
  explicit Runs(const Case& tiny);
  ~Runs();
  Runs(const Runs&) = delete;
  Runs& operator=(const Runs&) = delete;

  RunConfig config(const std::string& name, const char* device, const Overrides& more) const;
  run::TrainSummary train(const std::string& name, const char* device,
                          const Overrides& more = {}) const;
  std::vector<double> losses(const std::string& name) const;
  Checkpoint newest(const std::string& name) const;
  // What eval and generate print.
  std::string evaluate(const std::string& name, const char* device) const;
  std::string generate(const std::string& name, const char* device) const;
  // Removes what the run wrote after a step.
  void go_back(const std::string& name, int step) const;
  std::filesystem::path path(const std::string& name) const { return folder_ / name; }

 private:
  Case case_;
  TempDir folder_;
};

// Every pair within a relative bound.
void check_close(const std::vector<double>& a, const std::vector<double>& b, double bound);
// The largest difference of the saved weights, relative to the largest weight of each.
double weight_difference(const Checkpoint& a, const Checkpoint& b);

}  // namespace setun::test
