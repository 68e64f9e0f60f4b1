// What a person who wrote an unknown key probably meant: a misspelt neighbour, the name other
// frameworks use, or a key of another section.
#pragma once

#include <string>
#include <vector>

namespace setun::config {

// The whole dotted key that `path` (in a map whose keys are `known`) should have been, or "".
std::string meant_key(const std::string& path, const std::vector<std::string>& known);

}  // namespace setun::config
