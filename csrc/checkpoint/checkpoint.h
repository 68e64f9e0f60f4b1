// Checkpoints of a run folder:
// <run>/checkpoints/step-00000100/{model,optimizer,metrics}.safetensors, state.json, config.yaml
// and manifest.json (size and CRC-32C of each file). Written to a temporary folder, fsynced,
// renamed; a background thread does the disk work on a copy, so training stalls only for the copy.
#pragma once

#include <ATen/core/Tensor.h>

#include <atomic>
#include <future>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/files.h"
#include "data/batch.h"
#include "train/run_options.h"

namespace setun {

struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};

// Everything a run needs to go on as if it had not stopped.
struct Checkpoint {
  int64_t step = 0;  // optimizer steps done
  int64_t phase = 0;
  int64_t tokens = 0;  // training tokens seen
  LoaderPosition loader;
  std::string data_fingerprint;
  double best_loss = -1;  // best validation loss so far; -1: none
  int64_t best_step = -1;
  std::string config_yaml;         // resolved recipe
  std::vector<NamedTensor> model;  // parameters by name
  std::vector<NamedTensor> optimizer;
  std::vector<NamedTensor> metrics;  // codes at the last layer record (flip rate), generator state
  std::map<std::string, std::string> extra;  // small scalars as text (exact doubles in hex)
};

struct LoadedCheckpoint {
  Checkpoint checkpoint;
  fs::path path;
};

class CheckpointStore {
 public:
  // Touches no file: reading verbs may look into the folder of a run that is going on.
  CheckpointStore(const fs::path& run_folder, const CheckpointOptions& options);
  ~CheckpointStore();  // waits for a save under way

  // Removes what killed saves left behind. For the one process that holds the run folder's lock,
  // before its first save.
  void remove_leftovers() const;

  // Copies the tensors, then writes in the background. A save still under way is waited for first.
  // Failure (disk full) is logged as a warning with the reason, the incomplete folder removed, and
  // reported by last_save_failed().
  void save_async(const Checkpoint& checkpoint);
  void wait();  // until nothing is being written
  bool last_save_failed() const { return failed_; }
  double stall_seconds() const {
    return stall_seconds_;
  }  // time the caller was kept, all saves together

  // The newest sound checkpoint. A truncated or corrupt one is named in a warning and the one
  // before it is used (the next save removes it); nullopt when there is none; Error when there are
  // only damaged ones.
  std::optional<LoadedCheckpoint> load_newest();
  std::vector<int64_t> steps() const;  // of the checkpoint folders, sound or not, rising

 private:
  void take_snapshot(const Checkpoint& checkpoint);
  void write();
  void remove_old(int64_t newest, int64_t best);

  fs::path folder_;
  CheckpointOptions options_;
  Checkpoint snapshot_;  // read by the writing thread; the caller changes it only after wait()
  std::set<int64_t> damaged_;  // found by load_newest; then the writing thread's
  std::atomic<bool> failed_{false};
  double stall_seconds_ = 0;
  std::future<void> pending_;  // last member: destroyed, and so waited for, first
};

// One checkpoint folder, every file verified against the manifest. Throws Error naming file and
// damage.
Checkpoint load_checkpoint(const fs::path& folder);

// Copies `saved` into the tensors of `live` by name. Throws Error listing every missing, surplus
// and differently shaped name.
void restore_tensors(const std::vector<NamedTensor>& saved, const std::vector<NamedTensor>& live,
                     const std::string& what);

}  // namespace setun
