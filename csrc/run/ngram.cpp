#include "run/ngram.h"

#include <vector>

#include "eval/ngram_baseline.h"

namespace setun::run {
namespace {

std::vector<uint32_t> all_tokens(const std::vector<std::shared_ptr<formats::TokenShard>>& shards) {
  std::vector<uint32_t> tokens;
  for (const auto& shard : shards) {
    for (uint64_t i = 0; i < shard->size(); ++i) {
      tokens.push_back((*shard)[i]);
    }
  }
  return tokens;
}

}  // namespace

double ngram_loss_of(const PreparedData& data, int64_t order) {
  return ngram_loss(all_tokens(data.train), all_tokens(data.validation), order, data.vocab_size);
}

}  // namespace setun::run
