// A recipe's tree: fragments left to right, then the recipe's own sections, then the command line.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "config/node.h"

namespace setun::config {

// Throws setun::Error: unreadable files, unknown fragments, what a fragment must not hold.
Node resolve_recipe(const std::filesystem::path& recipe, const std::vector<std::string>& overrides);

}  // namespace setun::config
