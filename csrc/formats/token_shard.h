// Token files. Written: the Setun shard (magic "SETUNTOK", version, dtype, vocabulary id and size,
// token count, document starts, CRC-32C). Read: that, llm.c v1 and v7 (256 int32 header) and
// headerless nanoGPT files. Torch-free; the reader maps the file and checks every length against
// its size. Byte layout: docs/formats.md.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/files.h"

namespace setun::formats {

enum class TokenWidth : uint32_t { kUint16 = 2, kUint32 = 4 };

struct ShardInfo {
  TokenWidth width = TokenWidth::kUint16;
  uint64_t vocab_id = 0;    // hash of the tokenizer; 0 when the file does not say
  uint64_t vocab_size = 0;  // 0 when the file does not say
  uint64_t token_count = 0;
  uint32_t checksum = 0;  // CRC-32C of the payload (computed on first use for foreign files)
  std::string kind;       // "setun", "llm.c v1", "llm.c v7", "headerless uint16", ...
};

class TokenShard {
 public:
  // `headerless_width` is used only when no known magic is found; absent: such a file is an error.
  explicit TokenShard(const fs::path& path, std::optional<TokenWidth> headerless_width = {});

  const ShardInfo& info() const { return info_; }
  const fs::path& path() const { return path_; }
  uint64_t size() const { return info_.token_count; }
  uint32_t operator[](uint64_t index) const;  // unchecked
  // First token of each document, rising, starting with 0. Foreign files have one document.
  const std::vector<uint64_t>& document_starts() const { return document_starts_; }
  // Reads the payload, compares with the stored CRC; throws Error naming the file.
  void verify_checksum() const;
  // CRC-32C of the payload as it is on disk now.
  uint32_t compute_checksum() const;
  // Throws Error naming the file and the position of the first token >= vocab_size.
  void check_vocabulary(uint64_t vocab_size) const;

 private:
  fs::path path_;
  MappedFile file_;
  ShardInfo info_;
  std::span<const std::byte> payload_;
  std::vector<uint64_t> document_starts_;
};

// Atomic: a temporary file, fsync, rename. Chooses the width from vocab_size.
void write_token_shard(const fs::path& path, std::span<const uint32_t> tokens,
                       std::span<const uint64_t> document_starts, uint64_t vocab_id,
                       uint64_t vocab_size);

}  // namespace setun::formats
