// What a person who wrote an unknown key probably meant: a key of another section, a misspelt
// neighbour, or the name other frameworks use.
#pragma once

#include <string>
#include <vector>

namespace setun::config {

// The whole dotted key that `path` (in a map whose keys are `known`) should have been, or "".
std::string meant_key(const std::string& path, const std::vector<std::string>& known);

}  // namespace setun::config
