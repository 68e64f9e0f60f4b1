// Every recipe below recipes/ decodes, passes `config check` at its own size, and trains four steps
// at a tiny size. So does every run of every sweep file there.
#include "config/bad_configs.h"
#include "config/config.h"
#include "recipes/tiny.h"
#include "run/run.h"
#include "support/catch.h"
#include "sweep/expand.h"

namespace setun {
namespace {

const std::filesystem::path kSource = SETUN_SOURCE_DIR;
constexpr int64_t kSteps = 4;  // enough for the phases of every recipe to be distinct steps

// The files below recipes/ that are sweeps, or those that are not.
std::vector<std::filesystem::path> shipped(bool sweeps) {
  auto files = test::yaml_files(kSource / "recipes");
  std::erase_if(files, [&](const auto& file) { return sweep::is_sweep_file(file) != sweeps; });
  return files;
}

void train_tiny(const std::filesystem::path& file, const std::filesystem::path& text,
                const std::filesystem::path& place) {
  const auto overrides = test::tiny_overrides(text, place, kSteps);
  const config::ResolvedRecipe recipe = config::load_recipe(file, overrides);
  const run::TrainSummary summary =
      run::train(recipe.config, config::emit_yaml(recipe.config, /*full=*/true));
  CHECK(summary.steps == kSteps);
  CHECK(summary.train_loss > 1.0);
  CHECK(summary.train_loss < 10.0);
  CHECK(summary.validation_loss > 1.0);
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

TEST_CASE("every recipe trains four steps at a tiny size", "[recipes]") {
  const test::TempDir folder;
  test::write_text(folder / "tiny.txt", test::tiny_text(60'000));
  int number = 0;
  for (const auto& file : shipped(/*sweeps=*/false)) {
    INFO(file.string());
    train_tiny(file, folder / "tiny.txt", folder / std::to_string(number++));
  }
}

// Paths in a sweep file are relative to the working folder: the source tree, as on its command
// line.
TEST_CASE("every run of every sweep passes the checks and trains at a tiny size", "[recipes]") {
  const test::TempDir folder;
  test::write_text(folder / "tiny.txt", test::tiny_text(60'000));
  const test::WorkingFolder here(kSource);
  const auto files = shipped(/*sweeps=*/true);
  REQUIRE(!files.empty());
  int number = 0;
  for (const auto& file : files) {
    INFO(file.string());
    const sweep::Plan plan = sweep::expand(sweep::load_sweep(file, {}));  // throws what is wrong
    CHECK(plan.warnings == std::vector<std::string>{});
    for (const sweep::PlannedRun& run : plan.runs) {
      INFO(run.name);
      const auto place = folder / std::to_string(number++);
      test::write_text(place / "recipe.yaml", config::emit_yaml(run.config, /*full=*/true));
      train_tiny(place / "recipe.yaml", folder / "tiny.txt", place);
    }
  }
}

}  // namespace
}  // namespace setun
