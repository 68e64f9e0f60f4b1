#include "data/loader.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>

#include "base/error.h"
#include "data/windows.h"
#include "ops/devices.h"

namespace setun {
namespace {

// Makes the batch at a position. Keeps the order of one epoch; used by one thread at a time.
class BatchMaker {
 public:
  BatchMaker(std::vector<TokenSlice> slices, const LoaderOptions& options)
      : windows_(std::move(slices), options.context, options.packing), options_(options) {}

  int64_t batches_per_epoch() const {
    const int64_t whole = windows_.count() / options_.batch;
    const bool rest = windows_.count() % options_.batch != 0;
    return whole + (options_.keep_short_batch && rest ? 1 : 0);
  }

  Batch make(LoaderPosition position) {
    SETUN_CHECK(batches_per_epoch() > 0, "data: the corpus has ", windows_.count(), " windows of ",
                options_.context, " tokens, fewer than data.batch = ", options_.batch,
                "; give more text, or lower data.context or data.batch");
    int64_t rows = std::min(options_.batch, windows_.count() - position.window);
    if (rows <= 0 || (rows < options_.batch && !options_.keep_short_batch)) {
      position = {position.epoch + 1, 0};
      rows = std::min(options_.batch, windows_.count());
    }
    if (position.epoch != epoch_) {
      order_ = epoch_order(windows_.count(), options_.seed, position.epoch, options_.shuffle);
      epoch_ = position.epoch;
    }
    return fill(position, rows);
  }

 private:
  Batch fill(const LoaderPosition& position, int64_t rows) const {
    const bool isolate = options_.packing == Packing::kIsolate;
    Batch batch;
    batch.tokens_BT = at::empty({rows, options_.context}, at::kLong);
    batch.targets_BT = at::empty({rows, options_.context}, at::kLong);
    if (isolate) {
      batch.documents_BT = at::empty({rows, options_.context}, at::kLong);
    }
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t at = row * options_.context;
      batch.valid_targets += windows_.fill(
          order_[static_cast<std::size_t>(position.window + row)],
          batch.tokens_BT.data_ptr<int64_t>() + at, batch.targets_BT.data_ptr<int64_t>() + at,
          isolate ? batch.documents_BT.data_ptr<int64_t>() + at : nullptr);
    }
    batch.after = {position.epoch, position.window + rows};
    return batch;
  }

  Windows windows_;
  LoaderOptions options_;
  int64_t epoch_ = -1;
  std::vector<uint32_t> order_;
};

}  // namespace

Batch on_device(Batch batch, at::Device device, const Batch& kept) {
  batch.tokens_BT = ops::to_device(batch.tokens_BT, device, kept.tokens_BT);
  batch.targets_BT = ops::to_device(batch.targets_BT, device, kept.targets_BT);
  batch.documents_BT = ops::to_device(batch.documents_BT, device, kept.documents_BT);
  return batch;
}

// With prefetch, one thread fills the queue; `generation` tells it that a seek made its batch
// worthless.
struct Loader::State {
  State(std::vector<TokenSlice> slices, const LoaderOptions& options_in)
      : options(options_in), maker(std::move(slices), options_in) {
    if (options.prefetch > 0) {
      thread = std::thread([this] { prefetch(); });
    }
  }

  ~State() {
    {
      const std::lock_guard lock(mutex);
      stop = true;
    }
    changed.notify_all();
    if (thread.joinable()) {
      thread.join();
    }
  }

  void prefetch() {
    std::unique_lock lock(mutex);
    while (true) {
      changed.wait(lock, [this] {
        return stop ||
               (!failure && started && queue.size() < static_cast<std::size_t>(options.prefetch));
      });
      if (stop) {
        return;
      }
      const uint64_t made_for = generation;
      const LoaderPosition position = producing;
      lock.unlock();
      std::optional<Batch> batch;
      std::exception_ptr problem;
      try {
        batch = maker.make(position);
      } catch (...) {
        problem = std::current_exception();
      }
      lock.lock();
      if (made_for != generation) {
        continue;
      }
      if (problem) {
        failure = problem;
      } else {
        producing = batch->after;
        queue.push_back(std::move(*batch));
      }
      changed.notify_all();
    }
  }

  Batch take() {
    std::unique_lock lock(mutex);
    started = true;
    changed.notify_all();
    changed.wait(lock, [this] { return failure || !queue.empty(); });
    if (queue.empty()) {
      std::rethrow_exception(failure);
    }
    Batch batch = std::move(queue.front());
    queue.pop_front();
    changed.notify_all();
    return batch;
  }

  LoaderOptions options;
  BatchMaker maker;  // touched by the prefetch thread alone once it runs
  LoaderPosition delivered;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Batch> queue;
  LoaderPosition producing;
  uint64_t generation = 0;
  bool started = false;  // no batch is made before the first next(): a resume seeks first
  bool stop = false;
  std::exception_ptr failure;
  std::thread thread;  // last: starts when everything it uses exists
};

Loader::Loader(std::vector<TokenSlice> slices, LoaderOptions options)
    : state_(std::make_unique<State>(std::move(slices), options)) {}

Loader::~Loader() = default;

Batch Loader::next() {
  Batch batch =
      state_->options.prefetch > 0 ? state_->take() : state_->maker.make(state_->delivered);
  state_->delivered = batch.after;
  return batch;
}

LoaderPosition Loader::position() const { return state_->delivered; }

void Loader::seek(const LoaderPosition& position) {
  {
    const std::lock_guard lock(state_->mutex);
    state_->queue.clear();
    state_->producing = position;
    state_->failure = nullptr;
    ++state_->generation;
  }
  state_->changed.notify_all();
  state_->delivered = position;
}

int64_t Loader::batches_per_epoch() const { return state_->maker.batches_per_epoch(); }

}  // namespace setun
