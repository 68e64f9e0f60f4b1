// Windows: the rows of context + 1 tokens a corpus is cut into, for each packing, and the shuffled
// order of an epoch.
#pragma once

#include <cstdint>
#include <vector>

#include "data/batch.h"
#include "data/prepare.h"

namespace setun {

class Windows {
 public:
  Windows(std::vector<TokenSlice> slices, int64_t context, Packing packing);
  int64_t count() const { return static_cast<int64_t>(rows_.size()); }
  // Writes row `index` into token, target and (packing isolate; else null) document buffers of
  // `context` elements. Returns the number of targets that count.
  int64_t fill(int64_t index, int64_t* tokens, int64_t* targets, int64_t* documents) const;

 private:
  struct Row {
    uint32_t slice;
    uint64_t first;  // within the slice
    int64_t length;  // tokens that exist, at most context + 1
  };
  void add_stream_rows(uint32_t slice);
  void add_document_rows(uint32_t slice);

  std::vector<TokenSlice> slices_;
  std::vector<std::vector<uint64_t>> documents_;  // starts within the slice, by slice
  std::vector<Row> rows_;
  int64_t context_;
  Packing packing_;
};

// A permutation of 0 .. count - 1 that is a function of the key alone, on every machine
// (Fisher-Yates with base/counter_rng).
std::vector<uint32_t> permutation(int64_t count, uint64_t key);

// The order in which an epoch visits `count` windows: a permutation that is a function of (seed,
// epoch) alone; the identity when shuffle is false.
std::vector<uint32_t> epoch_order(int64_t count, uint64_t seed, int64_t epoch, bool shuffle);

}  // namespace setun
