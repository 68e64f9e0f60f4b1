// The verbs of the program. Each takes parsed arguments and returns nothing; what goes wrong is
// thrown.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/decode_bench.h"
#include "bench/kernel_bench.h"
#include "bench/step_bench.h"
#include "config/config.h"

namespace setun::cli {

// What every verb that works on a recipe gets: a recipe file, a run folder or a checkpoint folder,
// and overrides.
struct Target {
  std::string path;
  std::vector<std::string> overrides;
};

// A recipe file is resolved; a run or checkpoint folder gives the recipe stored in it. Checked down
// to the layer table.
config::ResolvedRecipe load_checked(const Target& target);

// The folder to take weights from: the target itself, or with a recipe file its run.output.
std::string checkpoint_of(const Target& target, const RunConfig& config);

void cmd_train(const Target& target);
void cmd_eval(const Target& target);
void cmd_generate(const Target& target);
void cmd_data(const Target& target);
void cmd_sweep(const Target& target, bool dry_run, bool table);
void cmd_inspect(const std::string& path);
enum class StepBenchMode { kTable, kProfile, kOnRequest };
void cmd_bench_step(const Target& target, const bench::StepBenchOptions& options,
                    StepBenchMode mode);
void cmd_bench_decode(const Target& target, const bench::DecodeOptions& options);
void cmd_bench_kernels(const bench::KernelBenchOptions& options);
void cmd_config_print(const Target& target, bool full);
void cmd_config_check(const Target& target);
void cmd_config_reference();

}  // namespace setun::cli
