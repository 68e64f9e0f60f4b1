#include "run/run_folder.h"

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace setun::run {
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
