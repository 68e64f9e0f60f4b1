#include "run/run_folder.h"

#include <nlohmann/json.hpp>

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

void check_same_recipe(const RunConfig& now, const std::string& stored_yaml,
                       const std::string& run_folder) {
  const RunConfig stored = config::parse_resolved(stored_yaml, run_folder + ": stored recipe");
  std::string changed;
  for (const config::Difference& difference : config::differences(stored, now)) {
    if (!matches_any(difference.key, harmless_keys()) &&
        !matches_any(difference.key, now.run.allow_changed)) {
      changed += "\n  " + difference.key + ": " + difference.before + " -> " + difference.after;
    }
  }
  SETUN_CHECK(changed.empty(), run_folder, ": was started with another recipe:", changed,
              "\nChoose another run.output, undo the change, or accept it by name, e.g. "
              "run.allow_changed=[optim.lr]");
}

LoadedCheckpoint find_checkpoint(const fs::path& path) {
  if (fs::exists(path / "manifest.json")) {
    return {load_checkpoint(path), path};
  }
  SETUN_CHECK(fs::is_directory(path), path.string(), ": no such run or checkpoint folder");
  std::optional<LoadedCheckpoint> newest = CheckpointStore(path, {}).load_newest();
  SETUN_CHECK(newest.has_value(), path.string(),
              ": holds no checkpoint; expected a run folder (with checkpoints/) or one of its "
              "checkpoints/step-* folders");
  return std::move(*newest);
}

void write_summary(const fs::path& run_folder, const TrainSummary& summary) {
  const nlohmann::ordered_json json = {{"reason", summary.reason},
                                       {"steps", summary.steps},
                                       {"train_loss", summary.train_loss},
                                       {"validation_loss", summary.validation_loss},
                                       {"validation_accuracy", summary.validation_accuracy},
                                       {"ngram_loss", summary.ngram_loss},
                                       {"tokens_per_second", summary.tokens_per_second},
                                       {"peak_memory_bytes", summary.peak_memory_bytes},
                                       {"packed_bytes", summary.packed_bytes},
                                       {"parameters", summary.parameters},
                                       {"checkpoint_stall_share", summary.checkpoint_stall_share}};
  write_file_atomic(run_folder / "summary.json", json.dump(2) + "\n");
}

std::optional<TrainSummary> read_summary(const fs::path& run_folder) {
  const fs::path path = run_folder / "summary.json";
  if (!fs::exists(path)) {
    return std::nullopt;
  }
  try {
    const auto json = nlohmann::json::parse(read_file(path));
    return TrainSummary{.reason = json.at("reason"),
                        .steps = json.at("steps"),
                        .train_loss = json.at("train_loss"),
                        .validation_loss = json.at("validation_loss"),
                        .validation_accuracy = json.value("validation_accuracy", -1.0),
                        .ngram_loss = json.at("ngram_loss"),
                        .tokens_per_second = json.at("tokens_per_second"),
                        .peak_memory_bytes = json.at("peak_memory_bytes"),
                        .packed_bytes = json.at("packed_bytes"),
                        .parameters = json.at("parameters"),
                        .checkpoint_stall_share = json.at("checkpoint_stall_share")};
  } catch (const nlohmann::json::exception& problem) {
    fail(path.string(), ": is damaged (", problem.what(), "); remove it to have it written anew");
  }
}

}  // namespace setun::run
