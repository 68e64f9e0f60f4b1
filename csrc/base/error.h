// Errors of Setun: Error is the user's to fix (exit code 2), InternalError is ours (exit code 1).
// Errors collects many findings so that a bad recipe is reported whole, not one key at a time.
// Deliberately absent: backtraces and error codes. A message says subject, expected, got, remedy.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace setun {

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class InternalError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

// Concatenates its arguments as text: str("width ", 3) == "width 3".
template <class... Parts>
std::string str(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return std::move(out).str();
}

template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  throw Error(::setun::str(parts...));
}

// Findings about one options struct. Keys are relative to that struct ("norm.eps"); config adds
// section and file:line.
class Errors {
 public:
  struct Finding {
    std::string key;
    std::string message;
  };
  template <class... Parts>
  void add(std::string key, const Parts&... parts) {
    findings_.push_back({std::move(key), ::setun::str(parts...)});
  }
  // Adds every finding of `other` below `prefix`: ("norm", {eps: ...}) becomes norm.eps.
  void add_all(const std::string& prefix, const Errors& other) {
    for (const Finding& finding : other.findings_) {
      findings_.push_back({prefix + "." + finding.key, finding.message});
    }
  }
  bool empty() const { return findings_.empty(); }
  const std::vector<Finding>& findings() const { return findings_; }

 private:
  std::vector<Finding> findings_;
};

}  // namespace setun

// The user's mistake: throws setun::Error with the concatenated parts.
#define SETUN_CHECK(condition, ...) \
  do {                              \
    if (!(condition)) {             \
      ::setun::fail(__VA_ARGS__);   \
    }                               \
  } while (false)

// A broken invariant of Setun itself: throws setun::InternalError naming the condition and the
// place.
#define SETUN_ASSERT(condition, ...)                                                             \
  do {                                                                                           \
    if (!(condition)) {                                                                          \
      throw ::setun::InternalError(::setun::str("internal error at ", __FILE__, ":", __LINE__,   \
                                                ": ", #condition,                                \
                                                " does not hold. " __VA_OPT__(, ) __VA_ARGS__)); \
    }                                                                                            \
  } while (false)
