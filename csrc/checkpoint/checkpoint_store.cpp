// Order of a save, so that a kill at any moment leaves a complete checkpoint behind:
//   write .tmp-step-N-<pid>/ (files flushed, manifest last) -> rename to step-N -> flush the parent
//   -> prune old ones.
// A folder to be removed is renamed to .trash-* first, so a half-removed checkpoint never looks
// like one.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/error.h"
#include "base/log.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/checkpoint_io.h"

namespace setun {
namespace {

constexpr std::string_view kPrefix = "step-";
constexpr std::string_view kTemporary = ".tmp-";
constexpr std::string_view kTrash = ".trash-";
constexpr std::size_t kDigits = 8;

std::string step_name(int64_t step) {
  const std::string digits = std::to_string(step);
  return std::string(kPrefix) + std::string(kDigits - std::min(kDigits, digits.size()), '0') +
         digits;
}

// The step of "step-00000100"; nullopt for any other name.
std::optional<int64_t> parse_step(const std::string& name) {
  const std::string digits = name.starts_with(kPrefix) ? name.substr(kPrefix.size()) : "";
  if (digits.size() < kDigits || digits.size() > 18 ||
      digits.find_first_not_of("0123456789") != std::string::npos) {
    return std::nullopt;
  }
  const int64_t step = std::stoll(digits);
  return step_name(step) == name ? std::optional(step) : std::nullopt;
}

// Puts `from` in the place of `to`; when `to` exists (a damaged one, or the same step saved again),
// the two change places in one system call, so that at no moment neither is there.
void put_in_place(const fs::path& from, const fs::path& to) {
  if (!fs::exists(to)) {
    fs::rename(from, to);
    return;
  }
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) != 0) {
    SETUN_CHECK(errno == EINVAL || errno == ENOSYS, to.string(),
                ": cannot be replaced: ", std::strerror(errno));
    fs::remove_all(to);  // a file system without exchange: the older checkpoints bridge the gap
    fs::rename(from, to);
  }
  fs::remove_all(from);
}

void copy_tensors(const std::vector<NamedTensor>& from, std::vector<NamedTensor>& to) {
  to.resize(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) {
    const at::Tensor& source = from[i].tensor;
    at::Tensor& target = to[i].tensor;
    to[i].name = from[i].name;
    if (!target.defined() || target.sizes() != source.sizes() ||
        target.scalar_type() != source.scalar_type()) {
      target = at::empty(source.sizes(), at::TensorOptions().dtype(source.scalar_type()));
    }
    target.copy_(source);  // LibTorch copies large tensors with all threads
  }
}

}  // namespace

CheckpointStore::CheckpointStore(const fs::path& run_folder, const CheckpointOptions& options)
    : folder_(run_folder / "checkpoints"), options_(options) {}

CheckpointStore::~CheckpointStore() { wait(); }

void CheckpointStore::wait() {
  if (pending_.valid()) {
    pending_.get();
  }
}

void CheckpointStore::save_async(const Checkpoint& checkpoint) {
  const auto start = std::chrono::steady_clock::now();
  wait();
  take_snapshot(checkpoint);
  pending_ = std::async(std::launch::async, [this] { write(); });
  stall_seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// The snapshot's memory is kept from save to save: touching fresh pages would cost more than the
// copy.
void CheckpointStore::take_snapshot(const Checkpoint& checkpoint) {
  const at::NoGradGuard no_grad;
  Checkpoint scalars = checkpoint;
  scalars.model = std::move(snapshot_.model);
  scalars.optimizer = std::move(snapshot_.optimizer);
  scalars.metrics = std::move(snapshot_.metrics);
  snapshot_ = std::move(scalars);
  copy_tensors(checkpoint.model, snapshot_.model);
  copy_tensors(checkpoint.optimizer, snapshot_.optimizer);
  copy_tensors(checkpoint.metrics, snapshot_.metrics);
}

void CheckpointStore::write() {
  const std::string name = step_name(snapshot_.step);
  const fs::path temporary =
      folder_ / (std::string(kTemporary) + name + "-" + std::to_string(::getpid()));
  try {
    fault_point("checkpoint.before_write");
    fs::create_directories(folder_);
    fs::create_directory(temporary);
    write_checkpoint(snapshot_, temporary);
    fault_point("checkpoint.before_rename");
    put_in_place(temporary, folder_ / name);
    fault_point("checkpoint.after_rename");
    fsync_path(folder_);
    damaged_.erase(snapshot_.step);
    failed_ = false;
  } catch (const std::exception& problem) {
    std::error_code ignored;
    fs::remove_all(temporary, ignored);
    failed_ = true;
    log_warning("the checkpoint of step ", snapshot_.step, " is not saved: ", problem.what(),
                "; training goes on and saves again as soon as it can");
    return;
  }
  try {
    remove_old(snapshot_.step, snapshot_.best_step);
  } catch (const std::exception& problem) {
    log_warning("old checkpoints are not removed: ", problem.what());
  }
}

void CheckpointStore::remove_leftovers() const {
  if (!fs::is_directory(folder_)) {
    return;
  }
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(kTemporary) || name.starts_with(kTrash)) {
      fs::remove_all(entry.path());
    }
  }
}

// Keeps the last k good checkpoints up to `newest`, and the best. A checkpoint beyond `newest` can
// only be a damaged one that the run had to go back from.
void CheckpointStore::remove_old(int64_t newest, int64_t best) {
  std::vector<int64_t> found = steps();
  std::reverse(found.begin(), found.end());
  int64_t kept = 0;
  for (const int64_t step : found) {
    const bool good = step <= newest && damaged_.count(step) == 0;
    const bool keep = good && (kept < options_.keep_last || step == newest ||
                               (options_.keep_best && step == best));
    kept += keep ? 1 : 0;
    if (keep) {
      continue;
    }
    fault_point("checkpoint.before_prune");
    const fs::path trash = folder_ / (std::string(kTrash) + step_name(step));
    fs::rename(folder_ / step_name(step), trash);
    fault_point("checkpoint.during_prune");
    fs::remove_all(trash);
    damaged_.erase(step);
  }
}

std::vector<int64_t> CheckpointStore::steps() const {
  std::vector<int64_t> found;
  if (fs::is_directory(folder_)) {
    for (const fs::directory_entry& entry : fs::directory_iterator(folder_)) {
      if (const std::optional<int64_t> step = parse_step(entry.path().filename().string())) {
        found.push_back(*step);
      }
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::optional<LoadedCheckpoint> CheckpointStore::load_newest() {
  std::vector<int64_t> found = steps();
  std::string damage;
  for (auto step = found.rbegin(); step != found.rend(); ++step) {
    const fs::path path = folder_ / step_name(*step);
    try {
      LoadedCheckpoint loaded{load_checkpoint(path), path};
      SETUN_CHECK(loaded.checkpoint.step == *step, path.string(), ": state.json says step ",
                  loaded.checkpoint.step);
      return loaded;
    } catch (const std::exception& problem) {
      damaged_.insert(*step);
      damage += str("\n  ", problem.what());
      log_warning("damaged checkpoint: ", problem.what(), "; the one before it is used");
    }
  }
  SETUN_CHECK(found.empty(), folder_.string(), ": every checkpoint is damaged:", damage,
              "\nRestore one from a copy, or remove the folder to start the run anew");
  return std::nullopt;
}

}  // namespace setun
