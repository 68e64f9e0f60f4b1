// safetensors: u64 little-endian header length, JSON header, raw little-endian tensors, row-major
// without gaps. Torch-free. The reader maps the file and trusts nothing: every length, offset,
// dtype and shape is checked.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/files.h"

namespace setun::formats {

enum class Dtype { kF64, kF32, kF16, kBf16, kI64, kI32, kI16, kI8, kU8, kBool };
std::size_t dtype_size(Dtype dtype);
std::string_view dtype_name(Dtype dtype);  // "F32", as in the header

struct TensorEntry {
  std::string name;
  Dtype dtype;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;
};

// Writes to `path` in full and fsyncs it (no rename: the caller owns the folder's atomicity).
// Throws Error on failure, with the system's reason ("No space left on device").
void write_safetensors(const fs::path& path, const std::vector<TensorEntry>& tensors,
                       const std::map<std::string, std::string>& metadata);

class SafetensorsFile {
 public:
  explicit SafetensorsFile(
      const fs::path& path);  // throws Error naming the file and the first thing wrong in it
  const std::vector<TensorEntry>& tensors() const {
    return tensors_;
  }  // in file order; views into the map
  const TensorEntry* find(std::string_view name) const;
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  MappedFile file_;
  std::vector<TensorEntry> tensors_;
  std::map<std::string, std::string> metadata_;
};

// The parser on bytes in memory: what the file class and the fuzzer call.
std::vector<TensorEntry> parse_safetensors(std::span<const std::byte> bytes,
                                           std::map<std::string, std::string>& metadata);

}  // namespace setun::formats
