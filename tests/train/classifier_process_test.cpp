// Classifiers in the real program: bit-exact resume with dropout and a quantization phase, changed
// data refused, what eval, inspect and data print, and verbs that are not theirs.
#include <signal.h>

#include <nlohmann/json.hpp>

#include "recipes/tiny.h"
#include "train/process.h"

namespace setun {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using test::Ended;
using test::Process;

// 24 steps over 2.4 epochs; the phase begins at step 8 with a ramp to 16.
const char* const kCommon = R"(
optim: {lr: 4.0e-3}
schedule: {kind: two_stage}
quant:
  phases:
    - at: 8
      ramp: 8
      layers:
        - {match: "*", set: {weight: {scheme: absmean}, activation: {scheme: absmax}}}
run: {seed: 3, steps: 24, accumulate: 2, threads: 1}
eval: {every: 4}
checkpoint: {every: 2, keep_last: 2}
metrics: {every: 3, layers_every: 3, tensorboard: true}
)";

class SampleRun {
 public:
  explicit SampleRun(DataKind kind) {
    test::write_samples(folder_.path());
    const bool table = kind == DataKind::kCsv;
    test::write_text(
        folder_ / "recipe.yaml",
        std::string(table ? "model: {kind: mlp, norm: {placement: per_linear, kind: layer, gain: "
                            "false}"
                          : "model: {kind: bag_of_words, norm: {placement: none}") +
            ", classifier: {widths: [16, 12], dropout: 0.3}}\n" +
            (table ? "data: {kind: csv, csv: {file: '" + (folder_ / "tiny.csv").string() +
                         "', scaling: standard}"
                   : "data: {kind: folders, folders: {root: '" + (folder_ / "tiny_texts").string() +
                         "'}") +
            ", validation_fraction: 0.3, batch: 3}" + kCommon);
  }
  std::vector<std::string> train(const std::string& name) const {
    return {"train", folder_ / "recipe.yaml", "run.output=" + run(name).string()};
  }
  Ended finish(const std::string& name) const {
    const Ended ended = Process(train(name)).wait();
    INFO(ended.out << ended.err);
    REQUIRE(ended.exit_code == 0);
    return ended;
  }
  fs::path run(const std::string& name) const { return folder_ / name; }
  fs::path file(const std::string& name) const { return folder_ / name; }

 private:
  test::TempDir folder_;
};

TEST_CASE("a classifier that was killed ends with the bits of one that was not", "[process]") {
  for (const DataKind kind : {DataKind::kCsv, DataKind::kFolders}) {
    INFO(enum_name(kind));
    const SampleRun tiny(kind);
    tiny.finish("whole");
    // The 5th checkpoint is that of step 10: inside the ramp, an epoch and between two records.
    REQUIRE(Process(tiny.train("halves"), "checkpoint.after_rename:5").wait().signal == SIGKILL);
    const Ended rest = tiny.finish("halves");
    CHECK_THAT(rest.err, Contains("resumed from") && Contains("step-00000010"));
    CHECK(test::run_difference(tiny.run("whole"), tiny.run("halves")) == "");
  }
}

TEST_CASE("samples that changed since the checkpoint are refused", "[process]") {
  const SampleRun tiny(DataKind::kCsv);
  REQUIRE(Process(tiny.train("run"), "checkpoint.after_rename:5").wait().signal == SIGKILL);
  test::write_text(tiny.file("tiny.csv"),
                   test::read_text(tiny.file("tiny.csv")) + "1,1,1,1,1,1,1,1,0\n");
  const Ended ended = Process(tiny.train("run")).wait();
  CHECK(ended.exit_code == 2);
  CHECK_THAT(ended.err, Contains("the training samples changed since the checkpoint was written"));
}

TEST_CASE("train, eval, data and inspect tell accuracy and samples; generate and bench refuse",
          "[process]") {
  const SampleRun tiny(DataKind::kCsv);
  const Ended trained = tiny.finish("run");
  CHECK_THAT(trained.out, Contains("24 x 6 samples = 144") && Contains("accuracy ") &&
                              Contains(" samples/s") && !Contains("tokens"));
  const auto summary = nlohmann::json::parse(test::read_text(tiny.run("run") / "summary.json"));
  const double accuracy = summary.at("validation_accuracy");
  CHECK((accuracy > 0.34 && accuracy <= 1));  // better than one class of three
  const auto ask = [&](std::vector<std::string> arguments) { return Process(arguments).wait(); };
  const Ended eval = ask({"eval", tiny.run("run")});
  CHECK_THAT(eval.out, Contains("nats per sample over 27 samples") && Contains("accuracy ") &&
                           !Contains("perplexity"));
  CHECK_THAT(ask({"data", tiny.file("recipe.yaml")}).out,
             Contains("features    8") && Contains("train       63 samples: 0 ") &&
                 Contains("validation  27 samples: 0 "));
  CHECK_THAT(ask({"inspect", tiny.run("run")}).out,
             Contains("144 samples") && Contains("hidden.0.weight") && Contains("classifier.bias"));
  const Ended generate = ask({"generate", tiny.run("run")});
  CHECK(generate.exit_code == 2);
  CHECK_THAT(generate.err, Contains("model.kind is mlp; only a decoder continues text"));
  const Ended bench = ask({"bench", "step", tiny.file("recipe.yaml")});
  CHECK(bench.exit_code == 2);
  CHECK_THAT(bench.err, Contains("only decoders are compared"));
}

TEST_CASE("seeds, order, split and compute type of a recipe reach the run", "[process]") {
  const SampleRun tiny(DataKind::kCsv);
  const auto losses = [&](const std::string& name, const std::string& change) {
    std::vector<std::string> arguments = tiny.train(name);
    arguments.insert(arguments.end(), {change, "run.steps=4", "eval.every=0", "metrics.every=1",
                                       "metrics.layers_every=0", "quant.phases=[]"});
    const Ended ended = Process(arguments).wait();
    INFO(ended.err);
    REQUIRE(ended.exit_code == 0);
    return test::read_text(tiny.run(name) / "eval.csv");
  };
  const std::string base = losses("base", "data.shuffle=true");
  CHECK(losses("same", "run.minutes=60") == base);
  int number = 0;
  for (const char* change :
       {"data.shuffle=false", "data.seed=2", "run.seed=4", "run.compute=bf16",
        "data.validation_fraction=0.2", "data.csv.scaling=none", "model.classifier.dropout=0",
        "model.classifier.bias=false", "eval.batches=1", "run.accumulate=1"}) {
    INFO(change);
    CHECK(losses("changed" + std::to_string(number++), change) != base);
  }
}

TEST_CASE("sizes that the data does not have are refused", "[process]") {
  const SampleRun tiny(DataKind::kCsv), texts(DataKind::kFolders);
  const auto said = [](std::vector<std::string> arguments, const std::string& change) {
    arguments.push_back(change);
    const Ended ended = Process(arguments).wait();
    CHECK(ended.exit_code == 2);
    return ended.err;
  };
  CHECK_THAT(said(tiny.train("a"), "model.classifier.features=9"),
             Contains("model.classifier.features: 9, but the data has 8; leave it out to take the "
                      "data's"));
  CHECK_THAT(said(tiny.train("a"), "model.classifier.classes=4"),
             Contains("model.classifier.classes: 4, but the data has 3"));
  CHECK_THAT(said(texts.train("a"), "model.vocab_size=7"),
             Contains("model.vocab_size: 7, but the data has "));
}

}  // namespace
}  // namespace setun
