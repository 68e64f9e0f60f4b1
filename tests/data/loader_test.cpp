// Windows against a brute-force reading of the rules; order, prefetch and position of the loader.
#include "data/loader.h"

#include <ATen/ops/equal.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "data/windows.h"
#include "support/catch.h"

namespace setun {
namespace {

using Catch::Matchers::Contains;
using test::TempDir;

// A corpus of documents with lengths `lengths`; token i of the corpus is i (so a token tells where
// it came from).
std::vector<TokenSlice> corpus(const TempDir& folder, const std::vector<uint64_t>& lengths) {
  std::vector<uint32_t> tokens;
  std::vector<uint64_t> starts;
  for (const uint64_t length : lengths) {
    starts.push_back(tokens.size());
    for (uint64_t i = 0; i < length; ++i) {
      tokens.push_back(static_cast<uint32_t>(tokens.size()));
    }
  }
  formats::write_token_shard(folder / "shard", tokens, starts, 0, 100'000);
  auto shard = std::make_shared<const formats::TokenShard>(folder / "shard");
  return {{shard, 0, shard->size()}};
}

struct Row {
  std::vector<int64_t> tokens, targets, documents;
  int64_t valid;
};
Row row(const Windows& windows, int64_t index, int64_t context) {
  Row out{std::vector<int64_t>(static_cast<std::size_t>(context)),
          std::vector<int64_t>(static_cast<std::size_t>(context)),
          std::vector<int64_t>(static_cast<std::size_t>(context)), 0};
  out.valid = windows.fill(index, out.tokens.data(), out.targets.data(), out.documents.data());
  return out;
}

const std::vector<uint64_t> kLengths = {5, 1, 9, 3, 12, 2};  // 32 tokens

TEST_CASE("packing cross: consecutive windows that overlap by one token", "[data]") {
  const TempDir folder;
  const Windows windows(corpus(folder, kLengths), 4, Packing::kCross);
  REQUIRE(windows.count() == 7);  // (32 - 1) / 4
  for (int64_t w = 0; w < windows.count(); ++w) {
    const Row r = row(windows, w, 4);
    CHECK(r.valid == 4);
    for (int64_t t = 0; t < 4; ++t) {
      CHECK(r.tokens[static_cast<std::size_t>(t)] == 4 * w + t);
      CHECK(r.targets[static_cast<std::size_t>(t)] == 4 * w + t + 1);
    }
  }
}

TEST_CASE("packing isolate: the same windows; no target crosses a border, documents are numbered",
          "[data]") {
  const TempDir folder;
  std::vector<int64_t> document_of;
  for (std::size_t d = 0; d < kLengths.size(); ++d) {
    document_of.insert(document_of.end(), kLengths[d], static_cast<int64_t>(d));
  }
  const Windows windows(corpus(folder, kLengths), 4, Packing::kIsolate);
  REQUIRE(windows.count() == 7);
  for (int64_t w = 0; w < windows.count(); ++w) {
    const Row r = row(windows, w, 4);
    int64_t valid = 0;
    for (std::size_t t = 0; t < 4; ++t) {
      const auto at = static_cast<std::size_t>(4 * w) + t;
      const bool border = document_of[at] != document_of[at + 1];
      CHECK(r.documents[t] == document_of[at]);
      CHECK(r.targets[t] == (border ? kIgnoreTarget : static_cast<int64_t>(at) + 1));
      valid += border ? 0 : 1;
    }
    CHECK(r.valid == valid);
  }
}

TEST_CASE("packing whole: rows start with a document, end with padding that does not count",
          "[data]") {
  const TempDir folder;
  const Windows windows(corpus(folder, kLengths), 4, Packing::kWhole);
  std::set<int64_t> predicted;
  for (int64_t w = 0; w < windows.count(); ++w) {
    const Row r = row(windows, w, 4);
    for (std::size_t t = 0; t < 4; ++t) {
      if (r.targets[t] != kIgnoreTarget) {
        CHECK(r.targets[t] == r.tokens[t] + 1);
        CHECK(predicted.insert(r.targets[t]).second);  // once
      }
    }
  }
  std::set<int64_t> wanted;  // every token but the first of each document
  int64_t at = 0;
  for (const uint64_t length : kLengths) {
    for (uint64_t i = 1; i < length; ++i) {
      wanted.insert(at + static_cast<int64_t>(i));
    }
    at += static_cast<int64_t>(length);
  }
  CHECK(predicted == wanted);
}

TEST_CASE("an epoch's order is a permutation that depends on seed and epoch alone", "[data]") {
  const auto first = epoch_order(1000, 1, 0, true);
  auto sorted = first;
  std::sort(sorted.begin(), sorted.end());
  CHECK(sorted == epoch_order(1000, 1, 0, false));
  CHECK(first == epoch_order(1000, 1, 0, true));
  CHECK(first != epoch_order(1000, 1, 1, true));
  CHECK(first != epoch_order(1000, 2, 0, true));
  double distance = 0;  // a fair shuffle moves an element a third of the length on average
  for (std::size_t i = 0; i < first.size(); ++i) {
    distance += std::abs(static_cast<double>(first[i]) - static_cast<double>(i)) / 1000;
  }
  CHECK(distance / 1000 == Approx(1.0 / 3).epsilon(0.05));
}

LoaderOptions loader_options(int64_t prefetch) {
  return {.batch = 3,
          .context = 4,
          .packing = Packing::kCross,
          .shuffle = true,
          .prefetch = prefetch,
          .seed = 7};
}

bool equal(const Batch& a, const Batch& b) {
  return at::equal(a.tokens_BT, b.tokens_BT) && at::equal(a.targets_BT, b.targets_BT) &&
         a.after == b.after;
}

TEST_CASE(
    "prefetching changes nothing, and seek continues identically from every position of two epochs",
    "[data]") {
  const TempDir folder;
  const auto slices = corpus(folder, {200});
  Loader plain(slices, loader_options(0));
  REQUIRE(plain.batches_per_epoch() == 16);  // 49 windows
  std::vector<Batch> batches;
  std::vector<LoaderPosition> before;
  for (int i = 0; i < 36; ++i) {
    before.push_back(plain.position());
    batches.push_back(plain.next());
  }
  CHECK(batches[16].after.epoch == 1);
  for (const int64_t prefetch : {0, 1, 5}) {
    for (std::size_t start = 0; start < 33; ++start) {
      Loader loader(slices, loader_options(prefetch));
      loader.next();
      loader.seek(before[start]);
      for (std::size_t i = start; i < start + 3; ++i) {
        CHECK(equal(loader.next(), batches[i]));
      }
      CHECK(loader.position() == batches[start + 2].after);
    }
  }
}

TEST_CASE("an epoch visits every window at most once and drops only the last short batch",
          "[data]") {
  const TempDir folder;
  LoaderOptions options = loader_options(2);
  Loader loader(corpus(folder, {200}), options);
  std::set<int64_t> seen;
  for (int64_t b = 0; b < loader.batches_per_epoch(); ++b) {
    const Batch batch = loader.next();
    for (int64_t r = 0; r < 3; ++r) {
      CHECK(seen.insert(batch.tokens_BT[r][0].item<int64_t>()).second);
    }
  }
  CHECK(seen.size() == 48);
  options.keep_short_batch = true;
  options.prefetch = 0;
  Loader evaluation(corpus(folder, {200}), options);
  REQUIRE(evaluation.batches_per_epoch() == 17);
  for (int i = 0; i < 16; ++i) {
    evaluation.next();
  }
  CHECK(evaluation.next().tokens_BT.size(0) == 1);
  CHECK(evaluation.next().after.epoch == 1);
}

TEST_CASE("a corpus shorter than a batch says so, with and without the prefetch thread", "[data]") {
  const TempDir folder;
  for (const int64_t prefetch : {0, 2}) {
    Loader loader(corpus(folder, {9}), loader_options(prefetch));
    CHECK(loader.batches_per_epoch() == 0);
    CHECK_THROWS_WITH(loader.next(),
                      Contains("2 windows of 4 tokens") && Contains("data.batch = 3"));
    CHECK_THROWS_AS(loader.next(), Error);
  }
}

}  // namespace
}  // namespace setun
