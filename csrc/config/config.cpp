#include "config/config.h"

#include <algorithm>

#include "base/text.h"
#include "config/decode.h"
#include "config/node.h"
#include "config/resolve.h"
#include "config/writer.h"

namespace setun::config {
namespace {

// A key that could not be decoded, or was misspelt, holds its default: a rule about it would be
// noise.
bool follows_from(const std::vector<LocatedFinding>& undecodable, const std::string& key) {
  return std::any_of(undecodable.begin(), undecodable.end(), [&](const LocatedFinding& finding) {
    return finding.key == key || finding.meant == key || key.starts_with(finding.key + ".");
  });
}

ResolvedRecipe finish(Node root) {
  std::vector<LocatedFinding> findings;
  ResolvedRecipe recipe;
  recipe.config = decode(root, findings);
  const std::vector<LocatedFinding> undecodable = findings;
  const Errors errors = validate(recipe.config);
  for (const Errors::Finding& error : errors.findings()) {
    if (!follows_from(undecodable, error.key)) {
      findings.push_back({nearest_node(root, error.key).where, error.key, error.message});
    }
  }
  SETUN_CHECK(findings.empty(), findings_text(std::move(findings)));
  recipe.tree = std::make_shared<const Node>(std::move(root));
  return recipe;
}

// "a.b" -> value text of every leaf; lists are leaves.
void flatten(const Node& node, const std::string& path,
             std::vector<std::pair<std::string, std::string>>& out) {
  if (node.kind != Node::Kind::kMap) {
    out.emplace_back(path, to_flow(node));
    return;
  }
  for (const auto& [key, child] : node.map) {
    flatten(child, path.empty() ? key : path + "." + key, out);
  }
}

std::vector<std::pair<std::string, std::string>> leaves(const RunConfig& config) {
  std::vector<std::pair<std::string, std::string>> out;
  flatten(to_tree(config), "", out);
  return out;
}

}  // namespace

ResolvedRecipe load_recipe(const std::filesystem::path& recipe,
                           const std::vector<std::string>& overrides) {
  return finish(resolve_recipe(recipe, overrides));
}

ResolvedRecipe load_recipe(const std::filesystem::path& recipe, const RecipeChanges& changes) {
  return finish(resolve_recipe(recipe, changes));
}

ResolvedRecipe load_resolved(const std::filesystem::path& file,
                             const std::vector<std::string>& overrides) {
  return finish(resolve_stored(file, overrides));
}

RunConfig parse_resolved(const std::string& yaml, const std::string& what) {
  return finish(parse_yaml(yaml, what)).config;
}

std::string located(const ResolvedRecipe& recipe, const Errors& errors) {
  std::vector<LocatedFinding> findings;
  for (const Errors::Finding& error : errors.findings()) {
    findings.push_back({nearest_node(*recipe.tree, error.key).where, error.key, error.message});
  }
  return findings_text(std::move(findings));
}

std::string emit_yaml(const RunConfig& config, bool full) {
  Node tree = to_tree(config);
  if (!full) {
    keep_differences(tree, to_tree(RunConfig{}));
  }
  return to_yaml(tree);
}

std::vector<Difference> differences(const RunConfig& before, const RunConfig& after) {
  const auto old_leaves = leaves(before), new_leaves = leaves(after);
  std::vector<Difference> out;
  for (std::size_t i = 0; i < old_leaves.size();
       ++i) {  // both trees have the same keys in the same order
    if (old_leaves[i].second != new_leaves[i].second) {
      out.push_back({old_leaves[i].first, old_leaves[i].second, new_leaves[i].second});
    }
  }
  return out;
}

}  // namespace setun::config
