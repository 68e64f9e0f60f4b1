// The n-gram baseline is a probability model, and its numbers are the formula's.
#include "eval/ngram_baseline.h"

#include <cmath>

#include "base/error.h"
#include "support/catch.h"

namespace setun {
namespace {

const std::vector<uint32_t> kTrain = {0, 1, 2, 0, 1, 3, 0, 1, 2, 2, 0, 3, 1, 0, 1, 2, 4, 4, 0, 2};

TEST_CASE("probabilities sum to one after every history", "[data]") {
  for (int64_t order = 1; order <= 4; ++order) {
    const NgramModel model(kTrain, order, 6);
    for (uint32_t a = 0; a < 6; ++a) {
      for (uint32_t b = 0; b < 6; ++b) {
        double sum = 0;
        for (uint32_t token = 0; token < 6; ++token) {
          const double p = model.probability(std::vector<uint32_t>{a, b}, token);
          CHECK(p > 0);
          sum += p;
        }
        CHECK(sum == Approx(1).epsilon(1e-12));
      }
    }
  }
}

TEST_CASE("a bigram's probability is Kneser and Ney's formula, computed by hand", "[data]") {
  // train a b a b a c: bigrams ab 2, ba 2, ac 1; continuation counts a 1, b 1, c 1 of 3; n1 = 1, n2
  // = 2.
  const std::vector<uint32_t> train = {0, 1, 0, 1, 0, 2};
  const NgramModel model(train, 2, 4);
  const double d2 = 1.0 / (1 + 2 * 2);  // order 2
  const double d1 = 3.0 / (3 + 0);      // order 1: three counts of one, none of two
  const double unigram_b = (1 - d1) / 3 + d1 * 3 / 3 * 0.25;
  const double p = (2 - d2) / 3 + d2 * 2 / 3 * unigram_b;
  CHECK(model.probability(std::vector<uint32_t>{0}, 1) == Approx(p).epsilon(1e-12));
}

TEST_CASE("a repeating text is predicted nearly surely, noise at the entropy of its alphabet",
          "[data]") {
  std::vector<uint32_t> repeating, noise;
  uint64_t state = 1;
  for (uint32_t i = 0; i < 30'000; ++i) {
    repeating.push_back(i % 5);
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    noise.push_back(static_cast<uint32_t>(state >> 61));
  }
  CHECK(ngram_loss(repeating, repeating, 3, 8) < 0.01);
  const std::span<const uint32_t> all(noise);
  CHECK(ngram_loss(all.first(20'000), all.last(10'000), 3, 8) ==
        Approx(std::log(8.0)).epsilon(0.02));
}

TEST_CASE("orders and tokens that do not fit are refused", "[data]") {
  CHECK_THROWS_AS(NgramModel(kTrain, 3, 4), Error);        // token 4 of 4
  CHECK_THROWS_AS(NgramModel(kTrain, 5, 1 << 20), Error);  // 100 bits of key
  CHECK_THROWS_AS(ngram_loss(kTrain, std::vector<uint32_t>{9}, 2, 6), Error);
  CHECK_THROWS_AS(ngram_loss(kTrain, std::vector<uint32_t>{}, 2, 6), Error);
}

}  // namespace
}  // namespace setun
