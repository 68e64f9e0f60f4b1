#include "formats/token_shard.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/error.h"

namespace setun::formats {
namespace {

static_assert(std::endian::native == std::endian::little, "token files are little-endian");

constexpr char kMagic[8] = {'S', 'E', 'T', 'U', 'N', 'T', 'O', 'K'};
constexpr uint32_t kVersion = 1;
constexpr uint64_t kMaxTokens = uint64_t{1} << 40;  // far above any shard, far below overflow

// The first 64 bytes of a Setun shard (docs/formats.md).
struct Header {
  char magic[8];
  uint32_t version;
  uint32_t width;
  uint64_t vocab_id;
  uint64_t vocab_size;
  uint64_t token_count;
  uint64_t document_count;
  uint32_t payload_crc;
  uint32_t documents_crc;
  uint32_t reserved;
  uint32_t header_crc;  // of the 60 bytes before it
};
static_assert(sizeof(Header) == 64);

constexpr std::size_t kForeignHeader = 1024;  // llm.c: 256 int32
constexpr int32_t kLlmcGpt2 = 20240520, kLlmcLlama3 = 20240801;

uint64_t padded(uint64_t bytes) { return (bytes + 7) / 8 * 8; }

uint32_t header_crc(const Header& header) {
  return crc32c(std::as_bytes(std::span(&header, 1)).first(60));
}

struct Parsed {
  ShardInfo info;
  std::span<const std::byte> payload;
  std::vector<uint64_t> document_starts = {0};
};

std::vector<uint64_t> read_documents(std::span<const std::byte> bytes, const Header& header,
                                     const std::string& name) {
  SETUN_CHECK(crc32c(bytes) == header.documents_crc, name,
              ": the document table is damaged (checksum differs); prepare the data again");
  std::vector<uint64_t> starts(header.document_count);
  std::memcpy(starts.data(), bytes.data(), bytes.size());
  SETUN_CHECK(!starts.empty() && starts.front() == 0, name,
              ": the first document must start at token 0");
  for (std::size_t i = 1; i < starts.size(); ++i) {
    SETUN_CHECK(starts[i] > starts[i - 1] && starts[i] < header.token_count, name, ": document ", i,
                " starts at token ", starts[i], ", expected more than ", starts[i - 1],
                " and less than ", header.token_count);
  }
  return starts;
}

Parsed parse_setun(std::span<const std::byte> bytes, const std::string& name) {
  SETUN_CHECK(bytes.size() >= sizeof(Header), name, ": truncated: ", bytes.size(),
              " bytes, a shard header has ", sizeof(Header));
  Header header;
  std::memcpy(&header, bytes.data(), sizeof header);
  SETUN_CHECK(header.header_crc == header_crc(header), name,
              ": the header is damaged (checksum differs); prepare the data again");
  SETUN_CHECK(header.version == kVersion, name, ": shard version ", header.version,
              ", this Setun reads version ", kVersion);
  SETUN_CHECK(header.width == 2 || header.width == 4, name, ": token width ", header.width,
              " bytes, expected 2 or 4");
  SETUN_CHECK(header.token_count > 0 && header.token_count <= kMaxTokens &&
                  header.document_count > 0 && header.document_count <= header.token_count,
              name, ": header counts ", header.token_count, " tokens and ", header.document_count,
              " documents, which cannot be");
  const uint64_t payload = header.token_count * header.width;
  const uint64_t expected = sizeof(Header) + padded(payload) + 8 * header.document_count;
  SETUN_CHECK(bytes.size() == expected, name, ": has ", bytes.size(),
              " bytes, its header promises ", expected,
              "; it is truncated or damaged, prepare the data again");
  Parsed parsed;
  parsed.info = {.width = static_cast<TokenWidth>(header.width),
                 .vocab_id = header.vocab_id,
                 .vocab_size = header.vocab_size,
                 .token_count = header.token_count,
                 .checksum = header.payload_crc,
                 .kind = "setun"};
  parsed.payload = bytes.subspan(sizeof(Header), payload);
  parsed.document_starts =
      read_documents(bytes.subspan(sizeof(Header) + padded(payload)), header, name);
  return parsed;
}

Parsed parse_foreign(std::span<const std::byte> payload, TokenWidth width, const std::string& kind,
                     const std::string& name) {
  const auto size = static_cast<uint64_t>(width);
  SETUN_CHECK(!payload.empty() && payload.size() % size == 0, name, ": ", payload.size(),
              " bytes of tokens, expected a positive multiple of ", size, " (", kind, ")");
  Parsed parsed;
  parsed.info.width = width;
  parsed.info.token_count = payload.size() / size;
  parsed.info.kind = kind;
  parsed.payload = payload;
  return parsed;
}

Parsed parse_llmc(std::span<const std::byte> bytes, int32_t magic, const std::string& name) {
  SETUN_CHECK(bytes.size() >= kForeignHeader, name, ": truncated: ", bytes.size(),
              " bytes, an llm.c header has ", kForeignHeader);
  int32_t version = 0, count = 0;
  std::memcpy(&version, bytes.data() + 4, 4);
  std::memcpy(&count, bytes.data() + 8, 4);
  const int32_t wanted = magic == kLlmcGpt2 ? 1 : 7;
  SETUN_CHECK(version == wanted, name, ": llm.c version ", version, " with magic ", magic,
              ", expected version ", wanted);
  const TokenWidth width = magic == kLlmcGpt2 ? TokenWidth::kUint16 : TokenWidth::kUint32;
  const uint64_t have = bytes.size() - kForeignHeader;
  SETUN_CHECK(count > 0 && have == static_cast<uint64_t>(count) * static_cast<uint64_t>(width),
              name, ": the header counts ", count, " tokens of ", static_cast<uint32_t>(width),
              " bytes, the file holds ", have, " bytes of them");
  return parse_foreign(bytes.subspan(kForeignHeader), width,
                       magic == kLlmcGpt2 ? "llm.c v1" : "llm.c v7", name);
}

Parsed parse(std::span<const std::byte> bytes, std::optional<TokenWidth> headerless,
             const std::string& name) {
  SETUN_CHECK(!bytes.empty(), name, ": is empty");
  if (bytes.size() >= sizeof kMagic && std::memcmp(bytes.data(), kMagic, sizeof kMagic) == 0) {
    return parse_setun(bytes, name);
  }
  int32_t magic = 0;
  std::memcpy(&magic, bytes.data(), std::min<std::size_t>(4, bytes.size()));
  if (magic == kLlmcGpt2 || magic == kLlmcLlama3) {
    return parse_llmc(bytes, magic, name);
  }
  SETUN_CHECK(headerless.has_value(), name,
              ": no known token file (no Setun or llm.c magic); for a headerless file set "
              "data.token_dtype to uint16 or uint32");
  return parse_foreign(
      bytes, *headerless,
      *headerless == TokenWidth::kUint16 ? "headerless uint16" : "headerless uint32", name);
}

}  // namespace

TokenShard::TokenShard(const fs::path& path, std::optional<TokenWidth> headerless_width)
    : path_(path), file_(path) {
  Parsed parsed = parse(file_.bytes(), headerless_width, path.string());
  info_ = std::move(parsed.info);
  payload_ = parsed.payload;
  document_starts_ = std::move(parsed.document_starts);
  if (info_.kind != "setun") {
    info_.checksum = compute_checksum();  // a foreign file stores none
  }
}

uint32_t TokenShard::operator[](uint64_t index) const {
  if (info_.width == TokenWidth::kUint16) {
    uint16_t token = 0;
    std::memcpy(&token, payload_.data() + 2 * index, 2);
    return token;
  }
  uint32_t token = 0;
  std::memcpy(&token, payload_.data() + 4 * index, 4);
  return token;
}

uint32_t TokenShard::compute_checksum() const { return crc32c(payload_); }

void TokenShard::verify_checksum() const {
  const uint32_t now = compute_checksum();
  SETUN_CHECK(now == info_.checksum, path_.string(), ": the tokens are damaged: checksum ", now,
              ", the header says ", info_.checksum, "; prepare the data again");
}

void TokenShard::check_vocabulary(uint64_t vocab_size) const {
  for (uint64_t i = 0; i < size(); ++i) {
    SETUN_CHECK((*this)[i] < vocab_size, path_.string(), ": token ", (*this)[i], " at position ", i,
                " is outside the vocabulary of ", vocab_size,
                "; set model.vocab_size to the vocabulary the file was made with");
  }
}

void write_token_shard(const fs::path& path, std::span<const uint32_t> tokens,
                       std::span<const uint64_t> document_starts, uint64_t vocab_id,
                       uint64_t vocab_size) {
  SETUN_ASSERT(!tokens.empty() && !document_starts.empty(), "an empty shard");
  const uint32_t width = vocab_size <= 65536 ? 2 : 4;
  std::string content(sizeof(Header) + padded(tokens.size() * width), '\0');
  char* payload = content.data() + sizeof(Header);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    SETUN_ASSERT(tokens[i] < vocab_size, "token ", tokens[i], " of a vocabulary of ", vocab_size);
    std::memcpy(payload + i * width, &tokens[i], width);
  }
  Header header{};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.version = kVersion;
  header.width = width;
  header.vocab_id = vocab_id;
  header.vocab_size = vocab_size;
  header.token_count = tokens.size();
  header.document_count = document_starts.size();
  header.payload_crc = crc32c(std::as_bytes(std::span(payload, tokens.size() * width)));
  header.documents_crc = crc32c(std::as_bytes(document_starts));
  header.header_crc = header_crc(header);
  std::memcpy(content.data(), &header, sizeof header);
  content.append(reinterpret_cast<const char*>(document_starts.data()), 8 * document_starts.size());
  write_file_atomic(path, content);
}

}  // namespace setun::formats
