// Files written front to back. OutputFile reports every failure with the system's reason ("No space
// left on device"). LogFile is for records of a long run: what a full disk refuses is kept in
// memory and written later, so the run goes on and no record is lost while the process lives.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "base/files.h"

namespace setun {

class OutputFile {
 public:
  enum class Mode { kTruncate, kAppend };
  OutputFile(fs::path path, Mode mode);  // throws Error when the file cannot be opened
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(std::span<const std::byte> bytes);  // all of them, or Error
  // Writes what the system takes; returns the number of bytes written and, when that is not all,
  // the reason.
  std::size_t try_write(std::span<const std::byte> bytes, std::string& reason);
  void sync();  // fsync; throws Error
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
  int descriptor_ = -1;
};

class LogFile {
 public:
  explicit LogFile(const fs::path& path) : file_(path, OutputFile::Mode::kAppend) {}
  ~LogFile() { flush(); }
  void append(std::string_view bytes) { pending_ += bytes; }
  // Hands the pending bytes to the operating system. A failure is warned of once, kept, and tried
  // again next time.
  void flush();

 private:
  OutputFile file_;
  std::string pending_;
  bool failing_ = false;
};

}  // namespace setun
