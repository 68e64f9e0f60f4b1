#include "run/same_recipe.h"

#include <vector>

#include "base/error.h"
#include "base/text.h"
#include "config/config.h"

namespace setun::run {
namespace {

// Changing these between two parts of a run changes no number it computes.
const std::vector<std::string>& harmless_keys() {
  static const std::vector<std::string> keys = {
      "run.output",          "run.minutes", "run.allow_changed", "generate.*", "checkpoint.*",
      "metrics.tensorboard", "data.cache",  "data.prefetch",     "eval.ngram"};
  return keys;
}

bool matches_any(const std::string& key, const std::vector<std::string>& patterns) {
  for (const std::string& pattern : patterns) {
    if (wildcard_match(pattern, key)) {
      return true;
    }
  }
  return false;
}

}  // namespace

std::string recipe_changes(const RunConfig& now, const RunConfig& stored) {
  std::string changed;
  for (const config::Difference& difference : config::differences(stored, now)) {
    if (!matches_any(difference.key, harmless_keys()) &&
        !matches_any(difference.key, now.run.allow_changed)) {
      changed += "\n  " + difference.key + ": " + difference.before + " -> " + difference.after;
    }
  }
  return changed;
}

void check_same_recipe(const RunConfig& now, const std::string& stored_yaml,
                       const std::string& run_folder) {
  const RunConfig stored = config::parse_resolved(stored_yaml, run_folder + ": stored recipe");
  const std::string changed = recipe_changes(now, stored);
  SETUN_CHECK(changed.empty(), run_folder, ": was started with another recipe:", changed,
              "\nChoose another run.output, undo the change, or accept it by name, e.g. "
              "run.allow_changed=[optim.lr]");
}

}  // namespace setun::run
