// Interpolated Kneser-Ney n-gram model: the loss a neural model must beat. Torch-free, exact counts
// in hash maps.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

namespace setun {

// Interpolated Kneser-Ney (Kneser & Ney 1995; Chen & Goodman 1998 section 2.7): at each order
//   p_k(w | h) = max(c(h w) - D_k, 0) / c(h) + D_k types(h) / c(h) * p_{k-1}(w | h'), h' without
//   its first token,
// raw counts at the highest order, continuation counts (distinct left neighbours) below, uniform
// below order 1, and D_k = n1 / (n1 + 2 n2) from the counts of counts.
class NgramModel {
 public:
  // Throws Error when a token is >= vocab_size or vocab_size^order does not fit 64 bits.
  NgramModel(std::span<const uint32_t> train, int64_t order, int64_t vocab_size);
  // p(token | history): only the last order - 1 tokens of the history matter; it may be shorter.
  double probability(std::span<const uint32_t> history, uint32_t token) const;

 private:
  struct Context {
    double total = 0;
    double types = 0;
  };
  struct Level {
    std::unordered_map<uint64_t, double> counts;     // by k-gram
    std::unordered_map<uint64_t, Context> contexts;  // by its first k - 1 tokens
    double discount = 0;
  };
  void finish_level(std::size_t k);
  uint64_t key(std::span<const uint32_t> tokens) const;

  int64_t order_;
  uint64_t vocab_;
  std::vector<Level> levels_;  // levels_[k - 1] holds order k
};

// Mean nats per token on `validation`, the first tokens with the history there is.
double ngram_loss(std::span<const uint32_t> train, std::span<const uint32_t> validation,
                  int64_t order, int64_t vocab_size);

}  // namespace setun
