#include "run/ngram.h"

#include <vector>

#include "eval/ngram_baseline.h"

namespace setun::run {
namespace {

std::vector<uint32_t> all_tokens(const std::vector<TokenSlice>& slices) {
  std::vector<uint32_t> tokens;
  for (const TokenSlice& slice : slices) {
    for (uint64_t i = 0; i < slice.size(); ++i) {
      tokens.push_back(slice[i]);
    }
  }
  return tokens;
}

}  // namespace

double ngram_loss_of(const PreparedData& data, int64_t order) {
  return ngram_loss(all_tokens(data.train), all_tokens(data.validation), order, data.vocab_size);
}

}  // namespace setun::run
