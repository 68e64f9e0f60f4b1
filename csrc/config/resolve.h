// A recipe's tree: fragments left to right, then the recipe's own sections, then the command line.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "config/config.h"
#include "config/node.h"

namespace setun::config {

// Throws setun::Error that lists all of: unknown fragments, what a fragment must not hold,
// overrides that fit nowhere.
Node resolve_recipe(const std::filesystem::path& recipe, const std::vector<std::string>& overrides);

// What a sweep lays over a recipe, later wins: fragments by name, then values at dotted keys, each
// with the place it stands at.
struct RecipeChanges {
  std::vector<Node> fragments;
  std::vector<Override> values;
};
// Errors as above, at the places of the changes.
Node resolve_recipe(const std::filesystem::path& recipe, const RecipeChanges& changes);
ResolvedRecipe load_recipe(const std::filesystem::path& recipe, const RecipeChanges& changes);

// The resolved recipe that a run or checkpoint folder keeps, with overrides. No includes.
Node resolve_stored(const std::filesystem::path& file, const std::vector<std::string>& overrides);

}  // namespace setun::config
