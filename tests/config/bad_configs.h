// The table of mistakes, tests/config/bad_configs.txt. A block is one mistake; blank lines part
// blocks. By first characters of a line:
//   "# "  title            "@ "  a file the next "| " lines make (without it: recipe.yaml)
//   "| "  a line of a file "$ "  an override          "> "  a line of the message, whole and exact
// Without a recipe.yaml the block uses a good recipe of two lines.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace setun::test {

struct BadConfig {
  std::string title;
  std::map<std::string, std::string> files;
  std::vector<std::string> overrides;
  std::string message;
};

std::vector<BadConfig> read_bad_configs(const std::filesystem::path& table);

// What loading and checking the block says, "" when it is accepted. Runs in `folder`.
std::string message_of(const BadConfig& bad, const std::filesystem::path& folder);

// Changes the working folder while it lives: messages then name files as a user sees them.
class WorkingFolder {
 public:
  explicit WorkingFolder(const std::filesystem::path& folder)
      : before_(std::filesystem::current_path()) {
    std::filesystem::current_path(folder);
  }
  ~WorkingFolder() { std::filesystem::current_path(before_); }
  WorkingFolder(const WorkingFolder&) = delete;
  WorkingFolder& operator=(const WorkingFolder&) = delete;

 private:
  std::filesystem::path before_;
};

}  // namespace setun::test
