// Every recipe below recipes/ decodes, passes `config check` at its own size, and trains four steps
// at a tiny size.
#include "config/config.h"
#include "recipes/tiny.h"
#include "run/run.h"
#include "support/catch.h"

namespace setun {
namespace {

const std::filesystem::path kSource = SETUN_SOURCE_DIR;
constexpr int64_t kSteps = 4;  // enough for the phases of every recipe to be distinct steps

TEST_CASE("every recipe passes the checks at its own size", "[recipes]") {
  const auto files = test::yaml_files(kSource / "recipes");
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
  for (const auto& file : test::yaml_files(kSource / "recipes")) {
    INFO(file.string());
    const auto place = folder / std::to_string(number++);
    const DataKind kind = config::load_recipe(file, {}).config.data.kind;
    const bool text = kind == DataKind::kText;
    const auto overrides = text ? test::tiny_overrides(folder / "tiny.txt", place, kSteps)
                                : test::tiny_sample_overrides(kind, place, kSteps);
    if (!text) {
      test::write_samples(place);
    }
    const config::ResolvedRecipe recipe = config::load_recipe(file, overrides);
    const run::TrainSummary summary =
        run::train(recipe.config, config::emit_yaml(recipe.config, /*full=*/true));
    CHECK(summary.steps == kSteps);
    CHECK(summary.train_loss > (text ? 1.0 : 0.0));
    CHECK(summary.train_loss < 10.0);
    CHECK(summary.validation_loss > (text ? 1.0 : 0.0));
    CHECK((summary.validation_accuracy >= 0) == !text);
    CHECK(std::filesystem::exists(place / "run" / "summary.json"));
  }
}

}  // namespace
}  // namespace setun
