// RunConfig -> tree -> YAML text. The tree is also what two configs are compared by.
#pragma once

#include <string>

#include "config/node.h"
#include "config/run_config.h"

namespace setun::config {

// Every key with its value, as decode() would read it.
Node to_tree(const RunConfig& config);

// Removes from `tree` what equals `defaults`; returns false when nothing is left.
bool keep_differences(Node& tree, const Node& defaults);

// Block style for maps, flow style for lists of plain values.
std::string to_yaml(const Node& tree);

// One value on one line: [a, b], {k: v}, "text".
std::string to_flow(const Node& node);

}  // namespace setun::config
