// Token files: the shard's bytes, every kind of damage, llm.c and headerless files.
#include "formats/token_shard.h"

#include <cstring>
#include <numeric>

#include "base/error.h"
#include "support/catch.h"

namespace setun::formats {
namespace {

using Catch::Matchers::Contains;
using test::TempDir;

const std::vector<uint32_t> kTokens = {5, 6, 300, 8, 9};
const std::vector<uint64_t> kStarts = {0, 3};

std::string le(uint64_t value, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i) {
    out.push_back(static_cast<char>(value >> (8 * i)));
  }
  return out;
}

TEST_CASE("a shard has exactly the documented bytes", "[data]") {
  const TempDir folder;
  write_token_shard(folder / "a", kTokens, kStarts, 0x1122334455667788, 512);
  const std::string bytes = test::read_text(folder / "a");
  const std::string payload = le(5, 2) + le(6, 2) + le(300, 2) + le(8, 2) + le(9, 2);
  const std::string documents = le(0, 8) + le(3, 8);
  std::string header = "SETUNTOK" + le(1, 4) + le(2, 4) + le(0x1122334455667788, 8) + le(512, 8) +
                       le(5, 8) + le(2, 8);
  header += le(crc32c(std::as_bytes(std::span(payload))), 4) +
            le(crc32c(std::as_bytes(std::span(documents))), 4) + le(0, 4);
  header += le(crc32c(std::as_bytes(std::span(header))), 4);
  CHECK(bytes == header + payload + std::string(6, '\0') + documents);
}

TEST_CASE("a shard reads back: tokens, documents, facts; wide tokens for large vocabularies",
          "[data]") {
  const TempDir folder;
  write_token_shard(folder / "a", kTokens, kStarts, 7, 100'000);
  const TokenShard shard(folder / "a");
  CHECK(shard.info().width == TokenWidth::kUint32);
  CHECK(shard.info().vocab_id == 7);
  CHECK(shard.size() == 5);
  CHECK(shard[2] == 300);
  CHECK(shard.document_starts() == kStarts);
  CHECK_NOTHROW(shard.verify_checksum());
}

TEST_CASE("every flipped bit of a shard is refused", "[data]") {
  const TempDir folder;
  write_token_shard(folder / "a", kTokens, kStarts, 7, 512);
  const std::string whole = test::read_text(folder / "a");
  for (std::size_t at = 0; at < whole.size(); ++at) {
    const bool padding = at >= 64 + 10 && at < 64 + 16;  // six bytes that mean nothing
    std::string bad = whole;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    test::write_text(folder / "bad", bad);
    INFO("byte " << at);
    if (padding) {
      CHECK_NOTHROW(TokenShard(folder / "bad").verify_checksum());
    } else {
      CHECK_THROWS_AS(TokenShard(folder / "bad").verify_checksum(), Error);
    }
  }
}

TEST_CASE("every truncation of a shard is refused, with the file's name", "[data]") {
  const TempDir folder;
  write_token_shard(folder / "a", kTokens, kStarts, 7, 512);
  const std::string whole = test::read_text(folder / "a");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    test::write_text(folder / "cut", whole.substr(0, size));
    CHECK_THROWS_WITH(TokenShard(folder / "cut"), Contains("cut"));
  }
}

TEST_CASE("llm.c files of both versions are read; headers that lie are refused", "[data]") {
  const TempDir folder;
  const auto header = [](uint64_t magic, uint64_t version, uint64_t count) {
    return le(magic, 4) + le(version, 4) + le(count, 4) + std::string(1012, '\0');
  };
  test::write_text(folder / "gpt2", header(20240520, 1, 2) + le(70, 2) + le(50256, 2));
  test::write_text(folder / "llama", header(20240801, 7, 2) + le(70, 4) + le(128000, 4));
  CHECK(TokenShard(folder / "gpt2").info().kind == "llm.c v1");
  CHECK(TokenShard(folder / "gpt2")[1] == 50256);
  CHECK(TokenShard(folder / "llama")[1] == 128000);
  test::write_text(folder / "version", header(20240520, 7, 2) + le(70, 2) + le(50256, 2));
  CHECK_THROWS_WITH(TokenShard(folder / "version"), Contains("expected version 1"));
  test::write_text(folder / "count", header(20240520, 1, 3) + le(70, 2) + le(50256, 2));
  CHECK_THROWS_WITH(TokenShard(folder / "count"), Contains("counts 3 tokens"));
}

TEST_CASE("a headerless file needs its type, and whole tokens", "[data]") {
  const TempDir folder;
  test::write_text(folder / "nano", le(1, 2) + le(2, 2) + le(3, 2));
  CHECK_THROWS_WITH(TokenShard(folder / "nano"), Contains("data.token_dtype"));
  CHECK(TokenShard(folder / "nano", TokenWidth::kUint16).size() == 3);
  CHECK_THROWS_WITH(TokenShard(folder / "nano", TokenWidth::kUint32), Contains("multiple of 4"));
}

TEST_CASE("a token outside the vocabulary is named with its position", "[data]") {
  const TempDir folder;
  write_token_shard(folder / "a", kTokens, kStarts, 7, 512);
  const TokenShard shard(folder / "a");
  CHECK_NOTHROW(shard.check_vocabulary(301));
  CHECK_THROWS_WITH(shard.check_vocabulary(300), Contains("token 300 at position 2"));
}

}  // namespace
}  // namespace setun::formats
