// Batches from prepared token shards: windows -> shuffled order -> batches -> prefetch thread, with
// a saveable position.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/batch.h"
#include "data/data_options.h"
#include "data/prepare.h"

namespace setun {

struct LoaderOptions {
  int64_t batch = 0;
  int64_t context = 0;
  Packing packing = Packing::kCross;
  bool shuffle = false;
  bool keep_short_batch = false;  // deliver an epoch's last, smaller batch (evaluation) instead of
                                  // dropping it (training)
  int64_t prefetch = 0;
  uint64_t seed = 0;
};

class Loader {
 public:
  Loader(std::vector<TokenSlice> slices, LoaderOptions options);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  // Endless: a new epoch starts by itself. Throws Error when the slices hold no batch, or what the
  // prefetch thread threw.
  Batch next();
  LoaderPosition position() const;  // of the next batch to be delivered, prefetch not counted
  void seek(const LoaderPosition& position);
  int64_t batches_per_epoch() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace setun
