// The real program runs whole sweeps: tables, failures, changed files, refusals.
#include <nlohmann/json.hpp>

#include "sweep/tiny_sweep.h"

namespace setun {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using test::Ended;
using test::Process;
using test::TinySweep;

constexpr int kUserError = 2;

TEST_CASE(
    "a whole sweep: every run equals the same run by hand, with more threads; tables are written",
    "[sweep][process]") {
  const TinySweep tiny;
  tiny.write("sweep",
             "parallel: 2\nset: {run.threads: 1}\nseeds: [1, 2]\n"
             "runs: [{name: ternary}, {name: full, set: {quant.phases: []}}]\nbaseline: full\n");
  const Ended ended = tiny.finish("sweep");
  CHECK_THAT(ended.out,
             Contains("| ternary | 2/2 |") && Contains("| full    | 2/2 |") && Contains("best"));
  CHECK_THAT(ended.err, Contains("started   ternary-s1  (0 of 4 ended, 1 running)") &&
                            Contains("(4 of 4 ended, 0 running)") && Contains(" left"));
  const auto json = nlohmann::json::parse(test::read_text(tiny.folder("sweep") / "results.json"));
  REQUIRE(json.at("points").size() == 2);
  CHECK(json.at("points").at(0).at("n") == 2);
  const double first = json.at("runs").at(0).at("summary").at("validation_loss");
  const double second = json.at("runs").at(1).at("summary").at("validation_loss");
  CHECK(json.at("points").at(0).at("mean") == Approx((first + second) / 2).epsilon(1e-14));
  CHECK_THAT(test::read_text(tiny.run("sweep", "full-s2") / "log.txt"), Contains("finished"));

  const fs::path by_hand = tiny.folder("by_hand");
  REQUIRE(Process({"train", tiny.recipe(), "run.seed=2", "run.threads=2",
                   "run.output=" + by_hand.string()})
              .wait()
              .exit_code == 0);
  CHECK(test::run_difference(tiny.run("sweep", "ternary-s2"), by_hand) == "");

  // Nothing is left to do: the same command only prints the table.
  const auto written = fs::last_write_time(tiny.run("sweep", "ternary-s1") / "log.txt");
  const Ended again = tiny.finish("sweep");
  CHECK(again.out == ended.out);
  CHECK_THAT(again.err, !Contains("started"));
  CHECK(fs::last_write_time(tiny.run("sweep", "ternary-s1") / "log.txt") == written);
  CHECK(tiny.finish("sweep", {"--table"}).out == ended.out.substr(0, ended.out.rfind("results:")));
}

TEST_CASE("a failed run is reported with its log, the others go on, and it can be restarted",
          "[sweep][process]") {
  const TinySweep tiny;
  const fs::path text = tiny.folder("later.txt");
  tiny.write("sweep",
             "parallel: 2\nset: {run.steps: 9}\nruns: [{name: a}, {name: b, set: "
             "{data.text: " +
                 text.string() + "}}, {name: c}]\n");
  const Ended ended = Process(tiny.command("sweep")).wait();
  INFO(ended.out << ended.err);
  CHECK(ended.exit_code == kUserError);
  CHECK_THAT(ended.err, Contains("failed    b-s3  after 0:0") && Contains("by exit code 2") &&
                            Contains(text.string()) && Contains("1 of 3 runs failed: b-s3"));
  CHECK(tiny.finished("sweep", "a-s3"));
  CHECK(tiny.finished("sweep", "c-s3"));
  CHECK_THAT(test::read_text(tiny.folder("sweep") / "results.csv"), Contains("b-s3,b,3,failed"));

  fs::copy_file(tiny.recipe().parent_path() / "text.txt", text);
  const Ended again = tiny.finish("sweep");
  CHECK_THAT(again.err, Contains("started   b-s3") && !Contains("started   a-s3") &&
                            !Contains("started   c-s3"));
  CHECK(tiny.finished("sweep", "b-s3"));
}

TEST_CASE("a changed sweep file may add runs; a run whose recipe changed is refused by train",
          "[sweep][process]") {
  const TinySweep tiny;
  tiny.write("sweep", "set: {run.steps: 9}\nseeds: [1]\n");
  tiny.finish("sweep");
  tiny.write("sweep", "set: {run.steps: 9}\nseeds: [1, 2]\n");
  CHECK_THAT(tiny.finish("sweep").err,
             Contains("started   recipe-s2") && !Contains("started   recipe-s1"));

  tiny.write("sweep", "set: {run.steps: 9, optim.lr: 0.5}\nseeds: [2, 3]\n");
  for (int again = 0; again < 2; ++again) {  // the refused recipe does not become the run's own
    const Ended ended = Process(tiny.command("sweep")).wait();
    INFO(ended.out << ended.err);
    CHECK(ended.exit_code == kUserError);
    CHECK_THAT(ended.err, Contains("failed    recipe-s2") &&
                              Contains("was started with another recipe") &&
                              Contains("optim.lr: 0.004 -> 0.5"));
    CHECK(tiny.finished("sweep", "recipe-s3"));
  }
  CHECK_THAT(Process(tiny.command("sweep", {"--table"})).wait().out, Contains("| recipe | 1/2 |"));
}

TEST_CASE("wrong recipes stop every run before the first starts", "[sweep][process]") {
  const TinySweep tiny;
  tiny.write("sweep", "axes: [{key: model.heads, values: [2, 5]}]\n");
  const Ended ended = Process(tiny.command("sweep")).wait();
  CHECK(ended.exit_code == kUserError);
  CHECK_THAT(ended.err, Contains("sweep.yaml:3:") && Contains("(run recipe-model.heads=5)"));
  CHECK_FALSE(fs::exists(tiny.folder("sweep")));
}

TEST_CASE("--dry-run lists every run and makes nothing", "[sweep][process]") {
  const TinySweep tiny;
  tiny.write("sweep",
             "parallel: 2\nset: {run.steps: 9}\nseeds: [1, 2]\n"
             "axes: [{keys: [model.hidden, model.ffn], values: [[32, 48], [64, 96]]}]\n");
  const Ended planned = tiny.finish("sweep", {"--dry-run"});
  CHECK_THAT(planned.out,
             Contains("| run ") && Contains("| parameters") && Contains("| packed size") &&
                 Contains("recipe-model.hidden=64-model.ffn=96-s2 | waiting") &&
                 Contains("| 2,304 ") &&  // 9 steps x 2 micro-batches x 4 x 32 tokens
                 Contains("4 runs, 2 at a time") && Contains("rough estimate"));
  CHECK_FALSE(fs::exists(tiny.folder("sweep")));
  tiny.finish("sweep", {"seeds=[1]"});
  CHECK_THAT(tiny.finish("sweep", {"--dry-run"}).out,
             Contains("-s1 | finished") && Contains("-s2 | waiting") &&
                 Contains("estimate from the tokens per second") && !Contains("rough"));
}

TEST_CASE("an unknown metric is named with the known ones", "[sweep][process]") {
  const TinySweep tiny;
  tiny.write("sweep", "set: {run.steps: 9}\nmetric: validation_los\n");
  const Ended ended = Process(tiny.command("sweep")).wait();
  CHECK(ended.exit_code == kUserError);
  CHECK_THAT(ended.err, Contains("metric: no finished run has a number validation_los") &&
                            Contains("did you mean validation_loss?"));
  CHECK_THAT(tiny.finish("sweep", {"metric=train_loss"}).err, !Contains("started"));
}

}  // namespace
}  // namespace setun
