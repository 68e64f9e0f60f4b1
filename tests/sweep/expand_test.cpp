// Which runs a sweep file stands for, what each is called, and which of several values wins.
#include "sweep/expand.h"

#include <algorithm>
#include <thread>

#include "config/config.h"
#include "sweep/tiny_sweep.h"

namespace setun {
namespace {

using sweep::Plan;
using test::TinySweep;

// Every key it visits stands in the page.
struct KeyVisitor {
  const std::string& page;
  void operator()(const char* key, auto&, const char*) const {
    INFO(key);
    CHECK(page.find("`" + std::string(key) + "`") != std::string::npos);
  }
};

Plan plan_of(const TinySweep& tiny, const std::string& rest,
             const std::vector<std::string>& overrides = {}) {
  return sweep::expand(sweep::load_sweep(tiny.write("sweep", rest), overrides));
}

TEST_CASE("a sweep without axes, arms and seeds is one run, the recipe's", "[sweep]") {
  const TinySweep tiny;
  const Plan plan = plan_of(tiny, "");
  CHECK(test::names(plan) == std::vector<std::string>{"recipe-s3"});
  CHECK(plan.runs[0].config.run.output == tiny.run("sweep", "recipe-s3").string());
  CHECK(plan.warnings.empty());
}

TEST_CASE("axes are crossed with one another, arms and seeds; the last varies fastest", "[sweep]") {
  const TinySweep tiny;
  const Plan plan = plan_of(tiny,
                            "seeds: [1, 2]\n"
                            "axes:\n"
                            "  - {key: optim.lr, values: [1.0e-3, 0.002]}\n"
                            "  - {keys: [model.hidden, model.ffn], values: [[32, 48], [64, 96]]}\n"
                            "runs: [{name: a}, {name: b}]\n");
  CHECK(plan.axis_keys == std::vector<std::string>{"optim.lr", "model.hidden", "model.ffn"});
  const std::vector<std::string> all = test::names(plan);
  REQUIRE(all.size() == 16);
  CHECK(all[0] == "a-optim.lr=1.0e-3-model.hidden=32-model.ffn=48-s1");
  CHECK(all[1] == "a-optim.lr=1.0e-3-model.hidden=32-model.ffn=48-s2");
  CHECK(all[2] == "a-optim.lr=1.0e-3-model.hidden=64-model.ffn=96-s1");
  CHECK(all[4] == "a-optim.lr=0.002-model.hidden=32-model.ffn=48-s1");
  CHECK(all[15] == "b-optim.lr=0.002-model.hidden=64-model.ffn=96-s2");
  CHECK(plan.runs[15].config.optim.lr == 0.002);
  CHECK(plan.runs[15].config.model.ffn == 96);
  CHECK(plan.runs[15].config.run.seed == 2);
  CHECK(plan.runs[14].point == plan.runs[15].point);
  CHECK(plan.runs[13].point != plan.runs[15].point);
}

TEST_CASE("recipe < arm include < sweep set < arm set < axis value < seed", "[sweep]") {
  const TinySweep tiny;
  test::write_text(tiny.recipe().parent_path() / "configs/optim/mine.yaml",
                   "lr: 0.01\nbeta1: 0.1\nbeta2: 0.2\neps: 0.3\nclip_norm: 4\n");
  const auto optim = [&](const std::string& rest) {
    return plan_of(tiny, rest).runs.at(0).config.optim;
  };
  CHECK(optim("").lr == 0.004);
  const std::string arm = "runs: [{name: a, include: [optim/mine]}]\n";
  CHECK(optim(arm).lr == 0.01);  // over the recipe's own 0.004
  const OptimOptions mixed = optim(
      "set: {optim.beta1: 0.11, optim.beta2: 0.21, optim: {eps: 0.31}}\n"
      "axes: [{key: optim.eps, values: [0.33]}]\n"
      "runs: [{name: a, include: [optim/mine], set: {optim.beta2: 0.22, optim.eps: 0.32}}]\n");
  CHECK(mixed.clip_norm == 4);
  CHECK(mixed.beta1 == 0.11);
  CHECK(mixed.beta2 == 0.22);
  CHECK(mixed.eps == 0.33);
}

TEST_CASE("the command line changes keys of the sweep, dotted set keys among them", "[sweep]") {
  const TinySweep tiny;
  const std::string rest = "parallel: 2\nset: {run.steps: 20, run: {accumulate: 4}}\n";
  const Plan plan = plan_of(tiny, rest, {"parallel=1", "set.run.steps=17", "seeds=[5, 6]"});
  CHECK(plan.file.parallel == 1);
  CHECK(test::names(plan) == std::vector<std::string>{"recipe-s5", "recipe-s6"});
  CHECK(plan.runs[0].config.run.steps == 17);
  CHECK(plan.runs[0].config.run.accumulate == 4);
  const Plan added = plan_of(tiny, "runs: [{name: a}]\n", {"set.run.steps=9", "runs[0].name=b"});
  CHECK(added.runs[0].config.run.steps == 9);
  CHECK(added.runs[0].name == "b-s3");
}

TEST_CASE("an arm may take another recipe", "[sweep]") {
  const TinySweep tiny;
  const auto other = tiny.recipe().parent_path() / "other.yaml";
  test::write_text(other, "data: {text: text.txt, context: 32}\nrun: {steps: 5}\n");
  const Plan plan = plan_of(
      tiny, "runs: [{name: mine}, {name: other, recipe: " + other.string() + "}]\nseeds: [1]\n");
  CHECK(plan.runs[0].config.run.steps == 24);
  CHECK(plan.runs[1].config.run.steps == 5);
}

TEST_CASE("values of any kind become safe names; names of an axis replace them", "[sweep]") {
  const TinySweep tiny;
  const Plan plan = plan_of(tiny,
                            "axes:\n"
                            "  - {key: data.text, values: [[\"a b/c.txt\", d.txt]]}\n"
                            "  - key: quant.default.weight\n"
                            "    values: [{scheme: none}, {scheme: absmean, granularity: row}]\n"
                            "    names: [none, row]\n"
                            "  - keys: [model.hidden, model.ffn]\n"
                            "    values: [[32, 48]]\n"
                            "    names: [small]\n");
  CHECK(test::names(plan) ==
        std::vector<std::string>{
            "recipe-data.text=a_b_c.txt_d.txt-quant.default.weight=none-small-s3",
            "recipe-data.text=a_b_c.txt_d.txt-quant.default.weight=row-small-s3"});
  CHECK(plan.runs[1].values ==
        std::vector<std::string>{"[\"a b/c.txt\", d.txt]", "row", "32", "48"});
  CHECK(plan.runs[1].config.quant.base.weight.granularity == Granularity::kRow);
}

TEST_CASE("the cores are divided among runs unless the recipe says how many threads", "[sweep]") {
  const TinySweep tiny;
  const int64_t cores = std::max(1U, std::thread::hardware_concurrency());
  CHECK(plan_of(tiny, "parallel: 1\n").runs[0].config.run.threads == cores);
  CHECK(plan_of(tiny, "parallel: 2\n").runs[0].config.run.threads ==
        std::max<int64_t>(1, cores / 2));
  CHECK(plan_of(tiny, "parallel: 1000\n").runs[0].config.run.threads == 1);
  CHECK(plan_of(tiny, "set: {run.threads: 3}\n").runs[0].config.run.threads == 3);
  // A run that was started keeps its number: it resumes to the bit whatever parallel is now.
  const Plan plan = plan_of(tiny, "parallel: 1\n");
  RunConfig started = plan.runs[0].config;
  started.run.threads = 7;
  test::write_text(plan.runs[0].folder / "recipe.yaml", config::emit_yaml(started, true));
  CHECK(plan_of(tiny, "parallel: 2\n").runs[0].config.run.threads == 7);
}

TEST_CASE("what has no effect, and runs that are equal, are warned of", "[sweep]") {
  const TinySweep tiny;
  const Plan plan = plan_of(tiny,
                            "axes: [{key: optim.lr, values: [0.001, 1.0e-3]}]\n"
                            "runs: [{name: a, set: {optim.lr: 0.5}}]\n");
  CHECK(plan.runs[0].config.optim.lr == 0.001);
  CHECK(plan.warnings ==
        std::vector<std::string>{
            tiny.folder("sweep").string() + ".yaml:4:24: set: optim.lr has no effect, the axis "
                                            "optim.lr comes after it",
            "a-optim.lr=1.0e-3-s3 and a-optim.lr=0.001-s3 are the same recipe"});
}

TEST_CASE("a training recipe is no sweep file, and the shipped sweep is one", "[sweep]") {
  const TinySweep tiny;
  CHECK_FALSE(sweep::is_sweep_file(tiny.recipe().string()));
  CHECK(sweep::is_sweep_file(SETUN_SOURCE_DIR "/recipes/sweep/smoke.yaml"));
}

TEST_CASE("docs/sweeps.md names every key", "[sweep]") {
  const std::string page = test::read_text(SETUN_SOURCE_DIR "/docs/sweeps.md");
  const KeyVisitor visitor{page};
  sweep::SweepFile file;
  sweep::Axis axis;
  sweep::Arm arm;
  visit_fields(visitor, file);
  visit_fields(visitor, axis);
  visit_fields(visitor, arm);
}

}  // namespace
}  // namespace setun
