// The safetensors parser on hostile bytes, as they are and behind a correct header length (so that
// mutations reach past it). Whatever it accepts must lie inside the input and have the size its
// shape says.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/error.h"
#include "formats/safetensors.h"

namespace {

using namespace setun;

void parse(std::span<const std::byte> bytes) {
  std::map<std::string, std::string> metadata;
  std::vector<formats::TensorEntry> tensors;
  try {
    tensors = formats::parse_safetensors(bytes, metadata);
  } catch (const Error&) {
    return;
  }
  std::size_t covered = 0;
  for (const formats::TensorEntry& tensor : tensors) {
    std::size_t expected = formats::dtype_size(tensor.dtype);
    for (const int64_t length : tensor.shape) {
      expected *= static_cast<std::size_t>(length);
    }
    const bool inside = tensor.bytes.data() >= bytes.data() &&
                        tensor.bytes.data() + tensor.bytes.size() <= bytes.data() + bytes.size();
    if (!inside || expected != tensor.bytes.size()) {
      std::abort();
    }
    covered += tensor.bytes.size();
  }
  if (covered > bytes.size()) {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  parse(std::as_bytes(std::span(data, size)));
  if (size > 0) {
    // The first byte says how many bytes at the end are tensor data; the rest is the header.
    const std::size_t tail = std::min<std::size_t>(data[0], size - 1);
    const uint64_t length = size - 1 - tail;
    std::string framed(reinterpret_cast<const char*>(&length), sizeof length);
    framed.append(reinterpret_cast<const char*>(data) + 1, size - 1);
    parse(std::as_bytes(std::span(framed)));
  }
  return 0;
}
