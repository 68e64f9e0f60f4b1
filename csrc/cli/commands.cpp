#include "cli/commands.h"

#include <iostream>

#include "base/files.h"
#include "base/text.h"
#include "run/run.h"
#include "sweep/sweep.h"

namespace setun::cli {
namespace {

// Only folders of recipes and the file's own: the walk must end at once for any mistyped path.
std::vector<fs::path> recipe_folders(const fs::path& missing) {
  std::vector<fs::path> folders = {missing.has_parent_path() ? missing.parent_path() : "."};
  std::error_code ignored;  // a folder that cannot be read suggests nothing
  for (const auto& entry : fs::directory_iterator("recipes", ignored)) {
    if (entry.is_directory(ignored)) {
      folders.push_back(entry.path());
    }
  }
  folders.emplace_back("recipes");
  return folders;
}

std::string suggest_recipe(const fs::path& missing, const std::string& example) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const fs::path& folder : recipe_folders(missing)) {
    for (const auto& entry : fs::directory_iterator(folder, ignored)) {
      if (entry.path().extension() == ".yaml") {
        names.push_back(entry.path().lexically_normal().string());
      }
    }
  }
  const std::string near = nearest_name(missing.lexically_normal().string(), names);
  return near.empty() ? "; expected a YAML file such as " + example
                      : "; did you mean " + near + "?";
}

}  // namespace

config::ResolvedRecipe load_checked(const Target& target) {
  SETUN_CHECK(fs::exists(target.path), target.path, ": no such recipe or run folder",
              suggest_recipe(target.path, "recipes/quickstart.yaml"));
  const fs::path stored = fs::path(target.path) / "config.yaml";
  if (fs::is_directory(target.path)) {
    SETUN_CHECK(fs::exists(stored), target.path,
                ": is a folder without config.yaml; expected a run or checkpoint folder");
  }
  config::ResolvedRecipe recipe = fs::is_directory(target.path)
                                      ? config::load_resolved(stored, target.overrides)
                                      : config::load_recipe(target.path, target.overrides);
  const run::CheckReport report = run::check(recipe.config);
  SETUN_CHECK(report.errors.empty(), config::located(recipe, report.errors));
  return recipe;
}

std::string checkpoint_of(const Target& target, const RunConfig& config) {
  if (fs::is_directory(target.path)) {
    return target.path;
  }
  SETUN_CHECK(
      !config.run.output.empty(),
      "run.output: missing; give the run folder in place of the recipe, or run.output=<folder>");
  return config.run.output;
}

void cmd_train(const Target& target) {
  const config::ResolvedRecipe recipe = load_checked(target);
  run::train(recipe.config, config::emit_yaml(recipe.config, /*full=*/true));
}

void cmd_eval(const Target& target) {
  const config::ResolvedRecipe recipe = load_checked(target);
  run::evaluate(recipe.config, checkpoint_of(target, recipe.config));
}

void cmd_generate(const Target& target) {
  const config::ResolvedRecipe recipe = load_checked(target);
  run::generate(recipe.config, checkpoint_of(target, recipe.config));
}

void cmd_data(const Target& target) { run::prepare(load_checked(target).config); }

void cmd_sweep(const Target& target, bool dry_run, bool table) {
  SETUN_CHECK(!(dry_run && table), "give one of --dry-run and --table");
  SETUN_CHECK(fs::exists(target.path), target.path, ": no such sweep file",
              suggest_recipe(target.path, "recipes/sweep/smoke.yaml"));
  sweep::sweep(target.path, target.overrides,
               dry_run ? sweep::Mode::kDryRun
               : table ? sweep::Mode::kTable
                       : sweep::Mode::kRun);
}

void cmd_inspect(const std::string& path) { run::inspect(path); }

void cmd_bench_step(const Target& target, const bench::StepBenchOptions& options,
                    StepBenchMode mode) {
  const RunConfig config = load_checked(target).config;
  switch (mode) {
    case StepBenchMode::kTable:
      return bench::bench_step(config, options);
    case StepBenchMode::kProfile:
      return bench::profile_step(config, options.repetitions);
    case StepBenchMode::kOnRequest:
      return bench::serve_steps(config);
  }
}

void cmd_bench_decode(const Target& target, const bench::DecodeOptions& options) {
  bench::bench_decode(load_checked(target).config, options);
}

void cmd_bench_kernels(const bench::KernelBenchOptions& options) { bench::bench_kernels(options); }

void cmd_config_print(const Target& target, bool full) {
  std::cout << config::emit_yaml(load_checked(target).config, full);
}

void cmd_config_check(const Target& target) {
  std::cout << run::check(load_checked(target).config).table << "ok\n";
}

void cmd_config_reference() { std::cout << config::reference_markdown(); }

}  // namespace setun::cli
