// Whether a recipe may go on with a run that another one started. Torch-free.
#pragma once

#include <string>

#include "config/run_config.h"

namespace setun::run {

// "\n  key: before -> after" of every key in which `now` differs from `stored`, except keys that
// never change a result (run.minutes, run.output, generate.*, ...) and those now.run.allow_changed
// names; "" when there is none.
std::string recipe_changes(const RunConfig& now, const RunConfig& stored);

// Throws Error listing those keys when there are any.
void check_same_recipe(const RunConfig& now, const std::string& stored_yaml,
                       const std::string& run_folder);

}  // namespace setun::run
