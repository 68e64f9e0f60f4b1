// Scalars as text that reads back to the same bits: what a checkpoint's `extra` map holds.
// Torch-free.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>

#include "base/error.h"

namespace setun {

// Hexadecimal floating point ("0x1.8p+1"): exact for every finite double, and for inf and nan.
std::string exact_text(double value);

class ScalarReader {
 public:
  explicit ScalarReader(const std::map<std::string, std::string>& values) : values_(values) {}
  // Throw Error naming the key when it is missing or does not parse.
  double real(const std::string& key) const;
  int64_t integer(const std::string& key) const;

 private:
  const std::string& text(const std::string& key) const;
  const std::map<std::string, std::string>& values_;
};

}  // namespace setun
