// Batches from prepared token shards: windows -> shuffled order -> batches -> prefetch thread, with a saveable position.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/batch.h"
#include "data/data_options.h"
#include "formats/token_shard.h"

namespace setun {

class Tokenizer;

// What `prepare` leaves behind: shards of both splits and the tokenizer that made them.
struct PreparedData {
  std::vector<std::shared_ptr<formats::TokenShard>> train;
  std::vector<std::shared_ptr<formats::TokenShard>> validation;
  std::shared_ptr<const Tokenizer> tokenizer;  // null for token files without one
  int64_t vocab_size = 0;
  int64_t train_bytes = 0;       // bytes of training text (0 when unknown): bits per byte
  int64_t validation_bytes = 0;
};

// Tokenizes what is not yet in options.cache (training the tokenizer on the training split), then opens the shards.
// Throws Error: missing, empty or too-short corpus (fewer tokens than one window), invalid UTF-8 (file and byte offset),
// a token >= vocabulary, a corrupt shard.
PreparedData prepare_data(const DataOptions& options);

// Identity of the training shards (path-independent): checksums and counts; a checkpoint stores it and resume compares.
std::string data_fingerprint(const std::vector<std::shared_ptr<formats::TokenShard>>& shards);

struct LoaderOptions {
  int64_t batch = 0;
  int64_t context = 0;
  Packing packing = Packing::kCross;
  bool shuffle = false;
  int64_t prefetch = 0;
  uint64_t seed = 0;
};

class Loader {
 public:
  Loader(std::vector<std::shared_ptr<formats::TokenShard>> shards, LoaderOptions options);
  ~Loader();
  Batch next();                                // endless: a new epoch starts by itself; the last short batch is dropped
  LoaderPosition position() const;             // of the next batch to be delivered, prefetch not counted
  void seek(const LoaderPosition& position);
  int64_t batches_per_epoch() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace setun
