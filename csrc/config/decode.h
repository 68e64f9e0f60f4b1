// Strict decoding of a merged tree: every unknown, mistyped, missing or contradictory key is found,
// none is ignored.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "config/node.h"
#include "config/run_config.h"

namespace setun::config {

// A finding with its place, ready to print: "file:line:col: key: message".
struct LocatedFinding {
  Location where;
  std::string key;
  std::string message;
  std::string meant = {};  // of an unknown key: the key it was probably meant to be
};

// Fills a RunConfig from the tree; what cannot be decoded keeps its default and is reported.
RunConfig decode(const Node& root, std::vector<LocatedFinding>& findings);

// Rules within and across sections (every options struct's validate(), and config/validate.cpp),
// keys from the root.
Errors validate(const RunConfig& config);

std::string findings_text(std::vector<LocatedFinding> findings);  // one a line, in file order

}  // namespace setun::config
