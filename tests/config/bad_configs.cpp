#include "config/bad_configs.h"

#include <fstream>
#include <stdexcept>

#include "base/error.h"
#include "config/config.h"
#include "run/run.h"
#include "support/catch.h"

namespace setun::test {
namespace {

constexpr const char* kRecipe = "recipe.yaml";
constexpr const char* kGoodRecipe = "data: {text: text.txt}\nrun: {steps: 100}\n";

}  // namespace

std::vector<BadConfig> read_bad_configs(const std::filesystem::path& table) {
  std::vector<BadConfig> all;
  std::string file = kRecipe;
  bool open = false;
  std::ifstream lines(table);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty()) {
      open = false;
      continue;
    }
    if (!open) {
      all.emplace_back();
      file = kRecipe;
      open = true;
    }
    const std::string rest = line.size() > 2 ? line.substr(2) : "";
    switch (line.front()) {
      case '#':
        all.back().title = rest;
        break;
      case '@':
        file = rest;
        break;
      case '|':
        all.back().files[file] += rest + "\n";
        break;
      case '$':
        all.back().overrides.push_back(rest);
        break;
      case '>':
        all.back().message += (all.back().message.empty() ? "" : "\n") + rest;
        break;
      default:
        throw std::runtime_error("bad_configs.txt: a line begins with none of # @ | $ >: " + line);
    }
  }
  return all;
}

std::string message_of(const BadConfig& bad, const std::filesystem::path& folder) {
  write_text(folder / kRecipe, kGoodRecipe);
  for (const auto& [name, content] : bad.files) {
    write_text(folder / name, content);
  }
  const WorkingFolder here(folder);
  try {
    const config::ResolvedRecipe recipe = config::load_recipe(kRecipe, bad.overrides);
    return config::located(recipe, run::check(recipe.config).errors);
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace setun::test
