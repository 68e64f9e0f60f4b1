// Tables from run folders written by hand: states, statistics per point, what is missing or not
// finite, and the files.
#include "sweep/results.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "config/config.h"
#include "sweep/tables.h"
#include "sweep/tiny_sweep.h"

namespace setun::sweep {
namespace {

using Catch::Matchers::Contains;

const char* const kTwoArms =
    "seeds: [1, 2, 3]\n"
    "axes: [{key: optim.lr, values: [0.001, 0.002]}]\n"
    "runs: [{name: a}, {name: b}]\n"
    "baseline: b\n";

// What `train` leaves of a finished run.
void finish(const PlannedRun& run, const std::string& summary) {
  test::write_text(run.folder / "recipe.yaml", config::emit_yaml(run.config, true));
  test::write_text(run.folder / "config.yaml", config::emit_yaml(run.config, true));
  test::write_text(run.folder / "summary.json", summary);
}

std::string summary(const std::string& loss) {
  return "{\"reason\": \"finished\", \"steps\": 24, \"validation_loss\": " + loss +
         ", \"validation_accuracy\": -1, \"accuracy\": 0.5}";
}

Plan plan_of(const test::TinySweep& tiny, const std::string& more = "") {
  return expand(load_sweep(tiny.write("sweep", kTwoArms + more), {}));
}

TEST_CASE("per point: mean, deviation, paired difference, best", "[sweep]") {
  const test::TinySweep tiny;
  const Plan plan = plan_of(tiny);
  REQUIRE(plan.runs.size() == 12);
  const char* losses[] = {"1.0", "2.0", "4.0", "3", "3",   "3",     // a at 0.001, at 0.002
                          "1.5", "3.0", "5.5", "3", "2.5", "4.0"};  // b
  for (std::size_t i = 0; i < 12; ++i) {
    finish(plan.runs[i], summary(losses[i]));
  }
  const Results results = read_results(plan, {});
  REQUIRE(results.points.size() == 4);
  const PointResult& first = results.points[0];
  CHECK(first.metric.n == 3);
  CHECK(*first.metric.mean == Approx(7.0 / 3));
  CHECK(*first.metric.deviation == Approx(std::sqrt(7.0 / 3)));
  REQUIRE(first.difference);  // -0.5, -1, -1.5
  CHECK(first.difference->mean == -1.0);
  CHECK(*first.difference->standard_error == Approx(0.5 / std::sqrt(3.0)));
  CHECK(first.difference->held == true);
  CHECK(first.best);
  CHECK(results.points[1].difference->held == false);  // 0, 0.5, -1
  CHECK_FALSE(results.points[2].difference);           // the baseline itself
  CHECK_FALSE(results.points[1].best);
  CHECK(results_table(plan, results) ==
        "| arm | optim.lr | n   | validation_loss | deviation | - b       | std. error | "
        "difference |      |\n"
        "|-----|----------|-----|-----------------|-----------|-----------|------------|----------"
        "--|------|\n"
        "| a   | 0.001    | 3/3 | 2.33333         | 1.52753   | -1        | 0.288675   | held     "
        "  | best |\n"
        "| a   | 0.002    | 3/3 | 3               | 0         | -0.166667 | 0.440959   | not held "
        "  |      |\n"
        "| b   | 0.001    | 3/3 | 3.33333         | 2.02073   |           |            |          "
        "  |      |\n"
        "| b   | 0.002    | 3/3 | 3.16667         | 0.763763  |           |            |          "
        "  |      |\n");
}

TEST_CASE("more is better with maximize, and any number can be the metric", "[sweep]") {
  const test::TinySweep tiny;
  const Plan plan = plan_of(tiny, "metric: score\nmaximize: true\n");
  finish(plan.runs[0], "{\"reason\": \"finished\", \"score\": 1}");
  finish(plan.runs[3], "{\"reason\": \"finished\", \"score\": 2, \"name\": \"x\", \"more\": [1]}");
  const Results results = read_results(plan, {});
  CHECK(results.fields == std::vector<std::string>{"score"});
  CHECK_FALSE(results.points[0].best);
  CHECK(results.points[1].best);
}

TEST_CASE("one run has no deviation and no standard error", "[sweep]") {
  const test::TinySweep tiny;
  const Plan plan = plan_of(tiny);
  finish(plan.runs[0], summary("1"));
  finish(plan.runs[6], summary("3"));
  const Results results = read_results(plan, {});
  CHECK(results.points[0].metric.n == 1);
  CHECK_FALSE(results.points[0].metric.deviation);
  CHECK(results.points[0].difference->mean == -2.0);
  CHECK_THAT(results_table(plan, results),
             Contains("| a   | 0.001    | 1/3 | 1               | -         | -2  | -          | "
                      "-          | best |"));
}

TEST_CASE("a metric that is missing or not finite is shown and wins nothing", "[sweep]") {
  const test::TinySweep tiny;
  const Plan plan = plan_of(tiny);
  finish(plan.runs[0], summary("1"));
  finish(plan.runs[1], summary("null"));                                   // nan in JSON
  finish(plan.runs[3], "{\"reason\": \"finished\", \"accuracy\": 0.25}");  // none
  finish(plan.runs[4], summary("2"));
  finish(plan.runs[6], summary("9"));
  finish(plan.runs[7], summary("9"));
  finish(plan.runs[9], summary("0"));  // run/run.h: no validation split
  const Results results = read_results(plan, {});
  CHECK(std::isnan(*results.points[0].metric.mean));
  CHECK(results.points[0].not_finite == 1);
  CHECK(std::isnan(*results.points[0].difference->mean));
  CHECK(results.points[1].metric.mean == 2.0);
  CHECK(results.points[1].missing == 1);
  CHECK(results.points[2].best);
  CHECK(results.points[3].missing == 1);
  CHECK_FALSE(results.points[3].metric.mean);
  const std::string table = results_table(plan, results);
  CHECK_THAT(table, Contains("2/3, 1 not finite") && Contains("nan") && Contains("1/3, 1 without"));
  const std::string csv = results_csv(plan, results);
  CHECK_THAT(csv, Contains("a-optim.lr=0.001-s2,a,0.001,2,finished,24,nan,0.5\n") &&
                      Contains("a-optim.lr=0.002-s1,a,0.002,1,finished,,,0.25\n") &&
                      Contains("a-optim.lr=0.001-s3,a,0.001,3,waiting,,,\n"));
}

TEST_CASE("states: waiting, unfinished, failed, changed", "[sweep]") {
  const test::TinySweep tiny;
  const Plan plan = plan_of(tiny);
  finish(plan.runs[0], "{\"reason\": \"signal\", \"validation_loss\": 1}");
  finish(plan.runs[1], summary("1"));
  PlannedRun other = plan.runs[2];
  other.config.optim.beta1 = 0.5;
  finish(other, summary("1"));
  PlannedRun harmless = plan.runs[3];
  harmless.config.generate.tokens = 5;
  finish(harmless, summary("1"));
  const Results results = read_results(plan, {plan.runs[4].name});
  CHECK(results.runs[0].state == RunState::kUnfinished);
  CHECK(results.runs[1].state == RunState::kFinished);
  CHECK(results.runs[2].state == RunState::kChanged);
  CHECK(results.runs[3].state == RunState::kFinished);
  CHECK(results.runs[4].state == RunState::kFailed);
  CHECK(results.runs[5].state == RunState::kWaiting);
  CHECK(results.points[0].metric.n == 1);
}

TEST_CASE("an unknown metric and a damaged summary stop with what is known", "[sweep]") {
  const test::TinySweep tiny;
  const Plan plan = plan_of(tiny, "metric: acuracy\n");
  CHECK_NOTHROW(read_results(plan, {}));  // nothing has finished: nothing is known
  finish(plan.runs[0], summary("1"));
  CHECK_THROWS_WITH(read_results(plan, {}),
                    "metric: no finished run has a number acuracy in its summary.json; did you "
                    "mean accuracy? (known: steps, validation_loss, accuracy)");
  finish(plan.runs[0], "{\"reason\": ");
  CHECK_THROWS_WITH(read_results(plan, {}), Contains("summary.json: is damaged"));
}

TEST_CASE("the files hold every run and every point", "[sweep]") {
  const test::TinySweep tiny;
  const Plan plan = plan_of(tiny);
  finish(plan.runs[0], summary("1.25"));
  finish(plan.runs[6], summary("1.5"));
  write_results(plan, read_results(plan, {}));
  const auto json = nlohmann::json::parse(test::read_text(tiny.folder("sweep") / "results.json"));
  CHECK(json.at("runs").size() == 12);
  CHECK(json.at("runs").at(0).at("summary").at("validation_loss") == 1.25);
  CHECK(json.at("points").at(0).at("difference").at("mean") == -0.25);
  CHECK(json.at("points").at(0).at("difference").at("standard_error").is_null());
  CHECK(json.at("points").at(0).at("axes").at("optim.lr") == "0.001");
  CHECK_THAT(test::read_text(tiny.folder("sweep") / "results.md"),
             Contains("2 of 12 runs finished") && Contains("| a   | 0.001"));
  CHECK_THAT(test::read_text(tiny.folder("sweep") / "results.csv"),
             Contains("run,arm,optim.lr,seed,state,steps,validation_loss,accuracy\n"
                      "a-optim.lr=0.001-s1,a,0.001,1,finished,24,1.25,0.5\n"));
}

TEST_CASE("a CSV cell with a comma or a quote is quoted", "[sweep]") {
  const test::TinySweep tiny;
  const Plan plan = expand(load_sweep(
      tiny.write("sweep", "axes: [{key: data.text, values: [[a.txt, 'b\"c.txt']]}]\n"), {}));
  CHECK_THAT(results_csv(plan, read_results(plan, {})),
             Contains("recipe,\"[a.txt, \"\"b\\\"\"c.txt\"\"]\",3,waiting\n"));
}

}  // namespace
}  // namespace setun::sweep
