// Recipes: loading (include, override, decode, check), writing, comparing, documenting. YAML stops
// here; what leaves is a RunConfig. Precedence: default < fragment < recipe < command line.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "config/run_config.h"

namespace setun::config {

struct Node;

struct ResolvedRecipe {
  RunConfig config;
  std::shared_ptr<const Node> tree;  // merged YAML with the place of every key
};

// Merges the recipe's fragments (found in the configs/ folder beside or above it), its own sections
// and the overrides
// ("section.key=value"); decodes and checks. Throws one setun::Error that lists every finding, one
// a line: "file:line:column: section.key: message".
ResolvedRecipe load_recipe(const std::filesystem::path& recipe,
                           const std::vector<std::string>& overrides);

// The same for the resolved YAML of a run or checkpoint; `what` names it in errors. No includes.
RunConfig parse_resolved(const std::string& yaml, const std::string& what);
ResolvedRecipe load_resolved(const std::filesystem::path& file,
                             const std::vector<std::string>& overrides);

// Findings with keys from the root ("quant.layers[0].match") with the places they come from.
std::string located(const ResolvedRecipe& recipe, const Errors& errors);

// Reads back to an equal RunConfig. full: every key; else what differs from the defaults.
std::string emit_yaml(const RunConfig& config, bool full);

struct Difference {
  std::string key;
  std::string before, after;
};
std::vector<Difference> differences(const RunConfig& before, const RunConfig& after);

// docs/config_reference.md.
std::string reference_markdown();

}  // namespace setun::config
