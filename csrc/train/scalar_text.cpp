#include "train/scalar_text.h"

#include <cerrno>
#include <charconv>
#include <cstdio>

namespace setun {

std::string exact_text(double value) {
  char out[40];
  std::snprintf(out, sizeof out, "%a", value);
  return out;
}

const std::string& ScalarReader::text(const std::string& key) const {
  const auto found = values_.find(key);
  SETUN_CHECK(found != values_.end(), "checkpoint state has no '", key,
              "'; it was written by another version of Setun");
  return found->second;
}

double ScalarReader::real(const std::string& key) const {
  const std::string& value = text(key);
  char* end = nullptr;
  const double parsed = std::strtod(value.c_str(), &end);
  SETUN_CHECK(!value.empty() && end == value.c_str() + value.size(), "checkpoint state: '", key,
              "' is '", value, "', expected a number");
  return parsed;
}

int64_t ScalarReader::integer(const std::string& key) const {
  const std::string& value = text(key);
  int64_t parsed = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), parsed);
  SETUN_CHECK(error == std::errc() && end == value.data() + value.size(), "checkpoint state: '",
              key, "' is '", value, "', expected an integer");
  return parsed;
}

}  // namespace setun
