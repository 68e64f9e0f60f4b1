#include "config/resolve.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"

namespace setun::config {
namespace {

constexpr std::array<std::string_view, 5> kFragmentSections = {"model", "data", "optim", "quant",
                                                               "schedule"};
// Paths belong to a run: a fragment that names one would tie a method to a machine.
constexpr std::array<std::string_view, 5> kRunOnlyDataKeys = {"text", "jsonl", "tokens",
                                                              "validation", "cache"};

// The configs/ folder beside the recipe or the nearest one above it.
fs::path find_configs(const fs::path& recipe) {
  for (fs::path folder = fs::absolute(recipe).parent_path();; folder = folder.parent_path()) {
    if (fs::is_directory(folder / "configs")) {
      return folder / "configs";
    }
    SETUN_CHECK(folder.has_relative_path(), recipe.string(),
                ": has include:, but there is no configs/ folder beside it or above it");
  }
}

// As a user would type it: relative to the working folder when that is shorter.
fs::path short_path(const fs::path& path) {
  const fs::path relative = fs::relative(path);
  return !relative.empty() && relative.string().size() < path.string().size() ? relative : path;
}

// Names of all fragments, "quant/b158": for suggestions.
std::vector<std::string> fragment_names(const fs::path& configs) {
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(configs)) {
    if (entry.path().extension() == ".yaml") {
      names.push_back(fs::relative(entry.path(), configs).replace_extension().string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

void check_fragment(const Node& content, const std::string& section) {
  for (const auto& [key, child] : content.map) {
    SETUN_CHECK(key != "include", location_text(child.where),
                ": a fragment cannot include others; list them in the recipe");
    const bool wrapped = key == section && child.kind == Node::Kind::kMap;
    SETUN_CHECK(!wrapped, location_text(child.where), ": a fragment's content is the section \"",
                section, "\" itself; remove the line \"", section, ":\" and indent less");
    if (section == "data") {
      SETUN_CHECK(std::find(kRunOnlyDataKeys.begin(), kRunOnlyDataKeys.end(), key) ==
                      kRunOnlyDataKeys.end(),
                  location_text(child.where), ": data.", key,
                  " is a path, which a fragment must not hold; write it in the recipe");
    }
  }
}

Node load_fragment(const Node& name, const fs::path& configs) {
  SETUN_CHECK(name.kind == Node::Kind::kScalar, location_text(name.where),
              ": include: expected the name of a fragment such as quant/b158, got ",
              kind_text(name.kind));
  const fs::path relative(name.scalar);
  const std::string section = relative.has_parent_path() ? relative.begin()->string() : "";
  const bool known = std::find(kFragmentSections.begin(), kFragmentSections.end(), section) !=
                     kFragmentSections.end();
  const bool inside =
      std::none_of(relative.begin(), relative.end(), [](const fs::path& p) { return p == ".."; });
  const fs::path file = short_path(configs / (name.scalar + ".yaml"));
  if (!known || !inside || !fs::exists(file)) {
    const std::string near = nearest_name(name.scalar, fragment_names(configs));
    fail(location_text(name.where), ": include: no fragment ", name.scalar, " in ",
         short_path(configs).string(), near.empty() ? "" : "; did you mean " + near + "?",
         " (sections: model, data, optim, quant, schedule)");
  }
  Node content = read_yaml(file);
  SETUN_CHECK(content.kind == Node::Kind::kMap || content.kind == Node::Kind::kNull, file.string(),
              ": expected the keys of section ", section, ", got ", kind_text(content.kind));
  check_fragment(content, section);
  Node root;
  root.kind = Node::Kind::kMap;
  root.map.emplace_back(section, std::move(content));
  return root;
}

// Gathers the errors of independent steps, so that the second wrong fragment is reported with the
// first.
class Problems {
 public:
  template <class Step>
  void attempt(const Step& step) {
    try {
      step();
    } catch (const Error& problem) {
      text_ += (text_.empty() ? "" : "\n") + std::string(problem.what());
    }
  }
  void check() const { SETUN_CHECK(text_.empty(), text_); }

 private:
  std::string text_;
};

void apply_overrides(Node& root, const std::vector<std::string>& overrides, Problems& problems) {
  for (const std::string& text : overrides) {
    problems.attempt([&] { apply_override(root, text); });
  }
}

}  // namespace

Node resolve_stored(const fs::path& file, const std::vector<std::string>& overrides) {
  Problems problems;
  Node root = read_yaml(file);
  apply_overrides(root, overrides, problems);
  problems.check();
  return root;
}

namespace {

// The recipe's fragments and, over them, its own sections.
Node resolve_own(const fs::path& recipe, Problems& problems) {
  Node own = read_yaml(recipe);
  SETUN_CHECK(own.kind == Node::Kind::kMap, recipe.string(),
              ": expected sections such as model: and run:, got ", kind_text(own.kind));
  Node root;
  root.kind = Node::Kind::kMap;
  root.where = {recipe.string(), 1, 1};
  if (const Node* include = own.find("include")) {
    SETUN_CHECK(
        include->kind == Node::Kind::kList, location_text(include->where),
        ": include: expected a list of fragments such as [model/quickstart, quant/b158], got ",
        kind_text(include->kind));
    const fs::path configs = find_configs(recipe);
    for (const Node& name : include->list) {
      problems.attempt([&] { overlay(root, load_fragment(name, configs)); });
    }
    std::erase_if(own.map, [](const auto& item) { return item.first == "include"; });
  }
  overlay(root, std::move(own));
  return root;
}

}  // namespace

Node resolve_recipe(const fs::path& recipe, const std::vector<std::string>& overrides) {
  Problems problems;
  Node root = resolve_own(recipe, problems);
  apply_overrides(root, overrides, problems);
  problems.check();
  return root;
}

Node resolve_recipe(const fs::path& recipe, const RecipeChanges& changes) {
  Problems problems;
  Node root = resolve_own(recipe, problems);
  for (const Node& name : changes.fragments) {
    problems.attempt([&] { overlay(root, load_fragment(name, find_configs(recipe))); });
  }
  for (const Override& change : changes.values) {
    problems.attempt([&] { apply_value(root, change.path, change.value); });
  }
  problems.check();
  return root;
}

}  // namespace setun::config
