// Catch2 v2 plus what Setun's tests share: SETUN_SKIP (Catch2 v2 has none), temporary folders, text
// containment. A skipped case is counted as skipped in the closing line "N passed, N failed, N
// skipped", never as passed.
#pragma once

#include <catch2/catch.hpp>

#include <filesystem>
#include <string>

namespace setun::test {

[[noreturn]] void skip(const std::string& reason);

// A fresh folder, removed with everything in it at the end of the test.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

void write_text(const std::filesystem::path& path, const std::string& text);
std::string read_text(const std::filesystem::path& path);

}  // namespace setun::test

#define SETUN_SKIP(reason) ::setun::test::skip(reason)
