// A sweep file -> its runs: arms x axes x seeds, each with its recipe resolved and checked before
// the first one starts. Precedence: recipe < arm include < sweep set < arm set < axis value < seed.
#pragma once

#include <string>
#include <vector>

#include "base/files.h"
#include "config/run_config.h"
#include "run/run.h"
#include "sweep/sweep_file.h"

namespace setun::sweep {

struct PlannedRun {
  std::string name;                 // <arm>-<key>=<value>...-s<seed>
  std::string arm;                  // of one arm without a name: the recipe's
  std::vector<std::string> values;  // of Plan::axis_keys, as text
  std::size_t point = 0;            // runs that differ in the seed alone share it
  fs::path folder;
  RunConfig config;  // run.output is the folder; run.threads is set
  run::CheckReport check;
};

struct Plan {
  SweepFile file;
  std::vector<std::string> axis_keys;
  std::vector<PlannedRun> runs;
  std::vector<std::string> warnings;  // of what is allowed but probably not meant
};

// Throws setun::Error that lists the file's findings and those of every run's recipe, one a line;
// a finding of a recipe names the runs it concerns.
Plan expand(LoadedSweep sweep);

}  // namespace setun::sweep
