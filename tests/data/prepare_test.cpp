// The cache: reused, never stale, whole after races; fingerprints; token files as a source.
#include "data/prepare.h"

#include <thread>

#include "base/error.h"
#include "base/files.h"
#include "recipes/tiny.h"
#include "support/catch.h"

namespace setun {
namespace {

using Catch::Matchers::Contains;
using test::TempDir;

DataOptions options(const TempDir& folder, TokenizerKind kind = TokenizerKind::kSentencePiece) {
  DataOptions made;
  made.text = {(folder / "t.txt").string()};
  made.cache = (folder / "cache").string();
  made.tokenizer = {.kind = kind, .vocab_size = 320};
  return made;
}

std::size_t cache_entries(const TempDir& folder) {
  std::size_t count = 0;
  for (const auto& entry : fs::directory_iterator(folder / "cache")) {
    count += entry.is_directory() ? 1 : 0;
  }
  return count;
}

TEST_CASE("preparing twice reuses the shards; one changed byte or option makes new ones",
          "[data]") {
  const TempDir folder;
  test::write_text(folder / "t.txt", test::tiny_text(20'000));
  const PreparedData first = prepare_data(options(folder));
  const auto written = fs::last_write_time(first.train[0].shard->path());
  const PreparedData second = prepare_data(options(folder));
  CHECK(second.train[0].shard->path() == first.train[0].shard->path());
  CHECK(fs::last_write_time(second.train[0].shard->path()) == written);
  CHECK(cache_entries(folder) == 1);
  std::string text = test::tiny_text(20'000);
  text[100] = 'X';
  test::write_text(folder / "t.txt", text);
  CHECK(prepare_data(options(folder)).train[0].shard->path() != first.train[0].shard->path());
  DataOptions other = options(folder);
  other.document = DocumentRule::kLine;
  prepare_data(other);
  CHECK(cache_entries(folder) == 3);
}

TEST_CASE("the tokens decode to the training text, and the tokenizer never saw the validation text",
          "[data]") {
  const TempDir folder;
  test::write_text(folder / "t.txt", test::tiny_text(20'000));
  test::write_text(folder / "v.txt", "QQQQ zzzz QQQQ zzzz\n");
  DataOptions made = options(folder);
  made.validation = {(folder / "v.txt").string()};
  const PreparedData data = prepare_data(made);
  std::vector<uint32_t> tokens;
  for (uint64_t i = 0; i + 1 < data.train[0].size(); ++i) {
    tokens.push_back(data.train[0][i]);
  }
  CHECK(data.tokenizer->decode(tokens) == test::tiny_text(20'000));
  CHECK(data.train[0][data.train[0].size() - 1] == data.tokenizer->end_of_text());
  CHECK(data.tokenizer->encode("QQ").size() == 2);  // no piece was learned for it
  CHECK(data.train_bytes == static_cast<int64_t>(test::tiny_text(20'000).size()));
}

TEST_CASE("two preparations at once end with one whole entry", "[data]") {
  const TempDir folder;
  test::write_text(folder / "t.txt", test::tiny_text(20'000));
  std::vector<std::thread> threads;
  std::vector<std::string> fingerprints(3);
  for (std::size_t i = 0; i < fingerprints.size(); ++i) {
    threads.emplace_back(
        [&, i] { fingerprints[i] = data_fingerprint(prepare_data(options(folder)).train); });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  CHECK(fingerprints[0] == fingerprints[1]);
  CHECK(fingerprints[1] == fingerprints[2]);
  CHECK(cache_entries(folder) == 1);
}

TEST_CASE("a fingerprint names the shard that changed", "[data]") {
  const TempDir folder;
  test::write_text(folder / "t.txt", test::tiny_text(20'000));
  const PreparedData before = prepare_data(options(folder, TokenizerKind::kBytes));
  CHECK_NOTHROW(check_fingerprint(data_fingerprint(before.train), before.train));
  test::write_text(folder / "t.txt", "x" + test::tiny_text(20'000));
  const PreparedData after = prepare_data(options(folder, TokenizerKind::kBytes));
  CHECK_THROWS_WITH(
      check_fingerprint(data_fingerprint(before.train), after.train),
      Contains(after.train[0].shard->path().string()) && Contains("changed since the checkpoint"));
}

TEST_CASE("token files split at their tail; a tokenizer that did not make them is refused",
          "[data]") {
  const TempDir folder;
  test::write_text(folder / "t.txt", test::tiny_text(20'000));
  const PreparedData text = prepare_data(options(folder));
  DataOptions tokens;
  tokens.tokens = {text.train[0].shard->path().string()};
  tokens.validation_fraction = 0.25;
  const PreparedData data = prepare_data(tokens);
  CHECK(data.train[0].size() + data.validation[0].size() == text.train[0].size());
  CHECK(data.validation[0].size() == text.train[0].size() / 4);
  CHECK(data.validation[0][0] == text.train[0][data.train[0].size()]);
  CHECK(data.vocab_size == 320);
  train_sentencepiece({"a different text, a different model\n" + test::tiny_text(9'000)},
                      {.kind = TokenizerKind::kSentencePiece, .vocab_size = 300},
                      (folder / "o.model").string());
  tokens.tokenizer = {.kind = TokenizerKind::kSentencePiece,
                      .model = (folder / "o.model").string()};
  CHECK_THROWS_WITH(prepare_data(tokens), Contains("another tokenizer"));
}

TEST_CASE("a damaged shard in the cache is refused, not used", "[data]") {
  const TempDir folder;
  test::write_text(folder / "t.txt", test::tiny_text(20'000));
  const fs::path path = prepare_data(options(folder, TokenizerKind::kBytes)).train[0].shard->path();
  std::string bytes = test::read_text(path);
  bytes[200] = static_cast<char>(bytes[200] ^ 1);
  test::write_text(path, bytes);
  CHECK_THROWS_WITH(prepare_data(options(folder, TokenizerKind::kBytes)), Contains("damaged"));
}

}  // namespace
}  // namespace setun
