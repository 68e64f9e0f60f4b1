#include "eval/ngram_baseline.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace setun {

NgramModel::NgramModel(std::span<const uint32_t> train, int64_t order, int64_t vocab_size)
    : order_(order),
      vocab_(static_cast<uint64_t>(vocab_size)),
      levels_(static_cast<std::size_t>(order)) {
  SETUN_CHECK(
      order >= 1 && static_cast<double>(order) * std::log2(static_cast<double>(vocab_size)) < 64,
      "eval.ngram: order ", order, " over a vocabulary of ", vocab_size,
      " does not fit 64-bit keys; lower eval.ngram");
  const auto largest = std::max_element(train.begin(), train.end());
  SETUN_CHECK(largest != train.end() && *largest < vocab_,
              "n-gram model: needs training tokens below ", vocab_size);
  const auto n = static_cast<std::size_t>(order);
  for (std::size_t i = 0; i + n <= train.size(); ++i) {
    levels_[n - 1].counts[key(train.subspan(i, n))] += 1;
  }
  uint64_t first_digit = 1;  // vocab^(k): what the first token of a (k+1)-gram key is multiplied by
  for (std::size_t k = 1; k < n; ++k) {
    first_digit *= vocab_;
  }
  for (std::size_t k = n; k-- > 1;) {  // order k from order k + 1: one per distinct left neighbour
    for (const auto& [gram, count] : levels_[k].counts) {
      levels_[k - 1].counts[gram % first_digit] += 1;
    }
    first_digit /= vocab_;
  }
  for (std::size_t k = 1; k <= n; ++k) {
    finish_level(k);
  }
}

uint64_t NgramModel::key(std::span<const uint32_t> tokens) const {
  uint64_t key = 0;
  for (const uint32_t token : tokens) {
    key = key * vocab_ + token;
  }
  return key;
}

void NgramModel::finish_level(std::size_t k) {
  Level& level = levels_[k - 1];
  double once = 0, twice = 0;
  for (const auto& [gram, count] : level.counts) {
    Context& context = level.contexts[gram / vocab_];
    context.total += count;
    context.types += 1;
    once += count == 1 ? 1 : 0;
    twice += count == 2 ? 1 : 0;
  }
  // Without singletons the estimate is 0, which would leave unseen tokens no mass.
  level.discount = once > 0 ? once / (once + 2 * twice) : 0.5;
}

double NgramModel::probability(std::span<const uint32_t> history, uint32_t token) const {
  const auto used = std::min(history.size(), static_cast<std::size_t>(order_ - 1));
  double p = 1.0 / static_cast<double>(vocab_);
  for (std::size_t k = 1; k <= used + 1; ++k) {
    const Level& level = levels_[k - 1];
    const uint64_t context_key = key(history.last(k - 1));
    const auto context = level.contexts.find(context_key);
    if (context == level.contexts.end()) {
      continue;  // an unseen history says nothing: the lower order stands
    }
    const auto found = level.counts.find(context_key * vocab_ + token);
    const double count = found == level.counts.end() ? 0 : found->second;
    const Context& c = context->second;
    p = std::max(count - level.discount, 0.0) / c.total + level.discount * c.types / c.total * p;
  }
  return p;
}

double ngram_loss(std::span<const uint32_t> train, std::span<const uint32_t> validation,
                  int64_t order, int64_t vocab_size) {
  SETUN_CHECK(!validation.empty(), "n-gram model: the validation split is empty");
  const NgramModel model(train, order, vocab_size);
  double nats = 0;
  for (std::size_t i = 0; i < validation.size(); ++i) {
    SETUN_CHECK(validation[i] < static_cast<uint64_t>(vocab_size),
                "n-gram model: validation token ", validation[i], " is outside the vocabulary of ",
                vocab_size);
    nats -= std::log(model.probability(validation.first(i), validation[i]));
  }
  return nats / static_cast<double>(validation.size());
}

}  // namespace setun
