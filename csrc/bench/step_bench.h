// `setun bench step`: the recipe's training step, the same model in full precision, and the same
// model in plain LibTorch, alternating in one process; medians with spread, ratios, and peak memory
// of each arm in a process of its own.
#pragma once

#include <string>

#include "config/run_config.h"

namespace setun::bench {

struct StepBenchOptions {
  int64_t repetitions = 11;
  std::string json;  // a file for the timings; empty: none
};

// Prints the table to standard output. Throws Error when the recipe has no plain LibTorch
// counterpart.
void bench_step(const RunConfig& config, const StepBenchOptions& options);

// Prints where the time of the recipe's step goes, by operator, over this many steps.
void profile_step(const RunConfig& config, int64_t repetitions);

// Prints "ready", then does one step of the recipe for every line of standard input and prints its
// seconds: for benchmarks of other processes that alternate with it.
void serve_steps(const RunConfig& config);

}  // namespace setun::bench
