// A run folder: <output>/{run.lock, config.yaml, metrics.*, eval.*, layers.jsonl, checkpoints/,
// summary.json}. Decides whether `train` starts, resumes or refuses.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/files.h"
#include "checkpoint/checkpoint.h"
#include "config/run_config.h"
#include "run/run.h"
#include "run/same_recipe.h"

namespace setun::run {

// A checkpoint folder itself, or the newest checkpoint of a run folder. Throws Error when there is
// none.
LoadedCheckpoint find_checkpoint(const fs::path& path);

void write_summary(const fs::path& run_folder, const TrainSummary& summary);
// nullopt when the run has not finished.
std::optional<TrainSummary> read_summary(const fs::path& run_folder);

}  // namespace setun::run
