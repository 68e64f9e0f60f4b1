// The token shard reader on hostile files: Setun shards, llm.c and headerless files, as they are
// and with the header's checksums made right (so that mutations reach past them). A shard it
// accepts can be read to the last token. The first byte of the input says whether and how wide a
// headerless file is.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/error.h"
#include "formats/token_shard.h"

namespace {

using namespace setun;

// A file that exists only in memory, under a path the reader can open and map.
class MemoryFile {
 public:
  explicit MemoryFile(std::span<const std::byte> bytes) : descriptor_(memfd_create("shard", 0)) {
    if (descriptor_ < 0 ||
        write(descriptor_, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
      std::abort();
    }
  }
  ~MemoryFile() { close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  int descriptor_;
};

void walk(const formats::TokenShard& shard) {
  if (shard.document_starts().empty() || shard.document_starts().back() >= shard.size()) {
    std::abort();
  }
  uint64_t sum = 0;
  for (uint64_t i = 0; i < shard.size(); ++i) {
    sum += shard[i];
  }
  static volatile uint64_t sink = 0;
  sink = sink + sum;
  shard.check_vocabulary(uint64_t{1} << 32);  // no 32-bit token is outside
  shard.verify_checksum();
}

void read(std::span<const std::byte> bytes, std::optional<formats::TokenWidth> headerless) {
  const MemoryFile file(bytes);
  try {
    walk(formats::TokenShard(file.path(), headerless));
  } catch (const Error&) {
    // refused with a message, as it should be
  }
}

// The layout of docs/formats.md: the header's own checksum at byte 60 covers the 60 bytes before
// it, the document table's at byte 52 what follows the padded tokens.
void read_with_right_checksums(std::span<const std::byte> bytes) {
  constexpr std::size_t kHeader = 64;
  if (bytes.size() < kHeader) {
    return;
  }
  std::string file(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  uint64_t documents = 0;
  std::memcpy(&documents, file.data() + 40, sizeof documents);
  if (documents <= (file.size() - kHeader) / 8) {
    const uint32_t crc = crc32c(bytes.subspan(file.size() - 8 * documents));
    std::memcpy(file.data() + 52, &crc, sizeof crc);
  }
  const uint32_t crc = crc32c(std::as_bytes(std::span(file)).first(60));
  std::memcpy(file.data() + 60, &crc, sizeof crc);
  read(std::as_bytes(std::span(file)), {});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  if (size == 0) {
    return 0;
  }
  const auto bytes = std::as_bytes(std::span(data, size)).subspan(1);
  std::optional<formats::TokenWidth> headerless;
  if (data[0] % 3 != 0) {
    headerless = data[0] % 3 == 1 ? formats::TokenWidth::kUint16 : formats::TokenWidth::kUint32;
  }
  read(bytes, headerless);
  read_with_right_checksums(bytes);
  return 0;
}
