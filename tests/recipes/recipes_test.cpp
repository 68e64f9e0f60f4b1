// Every recipe below recipes/ decodes, passes `config check` at its own size, and trains four steps
// at a tiny size. So does every run of every sweep file there.
#include <algorithm>
#include <set>

#include "config/bad_configs.h"
#include "config/config.h"
#include "recipes/tiny.h"
#include "run/run.h"
#include "support/catch.h"
#include "sweep/expand.h"

namespace setun {
namespace {

const std::filesystem::path kSource = SETUN_SOURCE_DIR;
// The files below recipes/ that are sweeps, or those that are not.
std::vector<std::filesystem::path> shipped(bool sweeps) {
  auto files = test::yaml_files(kSource / "recipes");
  std::erase_if(files, [&](const auto& file) { return sweep::is_sweep_file(file) != sweeps; });
  return files;
}

void train_tiny(const std::filesystem::path& file, const std::filesystem::path& text,
                const std::filesystem::path& place) {
  const RunConfig full = config::load_recipe(file, {}).config;
  const int steps = test::tiny_steps(full);
  const bool language = full.data.kind == DataKind::kText;
  if (!language) {
    test::write_samples(place);
  }
  std::vector<std::string> overrides =
      language ? test::tiny_overrides(text, place, steps)
               : test::tiny_sample_overrides(full.data.kind, place, steps);
  overrides.push_back("run.accumulate=" +
                      std::to_string(std::min<int64_t>(full.run.accumulate, 2)));
  const config::ResolvedRecipe recipe = config::load_recipe(file, overrides);
  const run::TrainSummary summary =
      run::train(recipe.config, config::emit_yaml(recipe.config, /*full=*/true));
  CHECK(summary.steps == steps);
  CHECK(summary.train_loss > (language ? 1.0 : 0.0));
  CHECK(summary.train_loss < 10.0);
  CHECK(summary.validation_loss > (language ? 1.0 : 0.0));
  CHECK((summary.validation_accuracy >= 0) == !language);
  CHECK(std::filesystem::exists(place / "run" / "summary.json"));
}

TEST_CASE("every recipe passes the checks at its own size", "[recipes]") {
  const auto files = shipped(/*sweeps=*/false);
  REQUIRE(files.size() >= 5);
  for (const auto& file : files) {
    INFO(file.string());
    const run::CheckReport report = run::check(config::load_recipe(file, {}).config);
    for (const Errors::Finding& finding : report.errors.findings()) {
      FAIL_CHECK(finding.key << ": " << finding.message);
    }
    CHECK(report.table.find("packed size") != std::string::npos);
  }
}

TEST_CASE("every recipe trains a few steps at a tiny size", "[recipes]") {
  const test::TempDir folder;
  test::write_text(folder / "tiny.txt", test::tiny_text(60'000));
  int number = 0;
  for (const auto& file : shipped(/*sweeps=*/false)) {
    INFO(file.string());
    train_tiny(file, folder / "tiny.txt", folder / std::to_string(number++));
  }
}

// Paths in a sweep file are relative to the working folder: the source tree, as on its command
// line. Seeds differ in nothing that a tiny run could show: the first of each is trained.
TEST_CASE("every run of every sweep passes the checks and trains at a tiny size", "[recipes]") {
  const test::TempDir folder;
  test::write_text(folder / "tiny.txt", test::tiny_text(60'000));
  const test::WorkingFolder here(kSource);
  const auto files = shipped(/*sweeps=*/true);
  REQUIRE(!files.empty());
  std::set<std::string> trained;
  for (const auto& file : files) {
    INFO(file.string());
    const sweep::Plan plan = sweep::expand(sweep::load_sweep(file, {}));  // throws what is wrong
    CHECK(plan.warnings == std::vector<std::string>{});
    for (const sweep::PlannedRun& run : plan.runs) {
      INFO(run.name);
      RunConfig config = run.config;
      config.run.seed = 1;
      config.run.output.clear();
      if (!trained.insert(config::emit_yaml(config, /*full=*/true)).second) {
        continue;
      }
      const auto place = folder / std::to_string(trained.size());
      test::write_text(place / "recipe.yaml", config::emit_yaml(run.config, /*full=*/true));
      train_tiny(place / "recipe.yaml", folder / "tiny.txt", place);
    }
  }
}

}  // namespace
}  // namespace setun
