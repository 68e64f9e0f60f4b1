// The TensorBoard event splitter on hostile bytes: records lie inside the input, end to end.
// Checksums keep mutations out of the payload, so the input is also wrapped into a frame with
// correct ones.
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "formats/tensorboard_events.h"

namespace {

using namespace setun;

void split(std::span<const std::byte> bytes) {
  std::size_t at = 0;
  for (const formats::EventRecord& record : formats::split_events(bytes)) {
    if (record.frame.data() != bytes.data() + at || record.frame.size() > bytes.size() - at) {
      std::abort();
    }
    at += record.frame.size();
  }
}

std::string masked_crc(std::span<const std::byte> bytes) {
  const uint32_t crc = std::rotr(crc32c(bytes), 15) + 0xA282EAD8U;
  return {reinterpret_cast<const char*>(&crc), sizeof crc};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  split(bytes);
  const uint64_t length = size;
  std::string framed(reinterpret_cast<const char*>(&length), sizeof length);
  framed += masked_crc(std::as_bytes(std::span(&length, 1)));
  framed.append(reinterpret_cast<const char*>(data), size);
  framed += masked_crc(bytes);
  split(std::as_bytes(std::span(framed)));
  return 0;
}
