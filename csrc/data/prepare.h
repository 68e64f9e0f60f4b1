// Text or token files -> token shards of a training and a validation split, made once and kept in
// data.cache.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/data_options.h"
#include "data/tokenizers/tokenizer.h"
#include "formats/token_shard.h"

namespace setun {

// Tokens [begin, end) of a shard: a split of a foreign token file needs no copy.
struct TokenSlice {
  std::shared_ptr<const formats::TokenShard> shard;
  uint64_t begin = 0;
  uint64_t end = 0;
  uint64_t size() const { return end - begin; }
  uint32_t operator[](uint64_t index) const { return (*shard)[begin + index]; }
};

struct PreparedData {
  std::vector<TokenSlice> train;
  std::vector<TokenSlice> validation;          // empty: no validation split
  std::shared_ptr<const Tokenizer> tokenizer;  // null for token files without one
  int64_t vocab_size = 0;
  int64_t train_bytes = 0;  // bytes of text behind the tokens; 0 when unknown
  int64_t validation_bytes = 0;
};

// Tokenizes what options.cache does not hold yet (training the tokenizer on the training split
// alone), then opens the shards and verifies their checksums. The cache is keyed by the content of
// every input and every option that matters, so it is never stale; two processes may prepare at
// once. Throws Error: missing or empty file, invalid UTF-8 (file and byte), a malformed JSON line,
// a token >= vocabulary, a damaged shard.
PreparedData prepare_data(const DataOptions& options);

// Identity of the training tokens, independent of paths: a checkpoint stores it.
std::string data_fingerprint(const std::vector<TokenSlice>& slices);

// Throws Error naming the first shard that is not what `expected` (of data_fingerprint) describes.
void check_fingerprint(const std::string& expected, const std::vector<TokenSlice>& slices);

}  // namespace setun
