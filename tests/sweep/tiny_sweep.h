// A recipe of 24 steps that takes a second or two, its text, and sweeps over it below one temporary
// folder.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "support/catch.h"
#include "sweep/expand.h"
#include "train/process.h"

namespace setun::test {

class TinySweep {
 public:
  TinySweep();
  // Writes <name>.yaml: recipe and output (runs below `name`), then `rest`. Returns its path.
  std::string write(const std::string& name, const std::string& rest) const;
  // Arguments of `setun sweep` for it.
  std::vector<std::string> command(const std::string& name,
                                   const std::vector<std::string>& more = {}) const;
  Ended finish(const std::string& name, const std::vector<std::string>& more = {}) const;

  std::filesystem::path folder(const std::string& name) const { return folder_ / name; }
  std::filesystem::path run(const std::string& name, const std::string& run) const {
    return folder(name) / run;
  }
  std::filesystem::path recipe() const { return folder_ / "recipe.yaml"; }
  bool finished(const std::string& name, const std::string& run_name) const {
    return std::filesystem::exists(run(name, run_name) / "summary.json");
  }

 private:
  TempDir folder_;
};

// Names of the planned runs.
std::vector<std::string> names(const sweep::Plan& plan);

}  // namespace setun::test
