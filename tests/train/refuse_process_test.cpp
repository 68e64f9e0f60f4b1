// The real program refuses what would mix two runs, says why, and stops when it is asked to.
#include <signal.h>

#include <chrono>

#include "train/process.h"

namespace setun {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using test::count_lines;
using test::Ended;
using test::Process;
using test::TinyRun;

constexpr int kUserError = 2;
const std::vector<std::string> kLong = {"run.steps=100000", "metrics.every=1",
                                        "metrics.layers_every=0", "checkpoint.every=10"};

void wait_for_steps(const TinyRun& tiny, const std::string& name, int64_t steps) {
  test::wait_until("training steps",
                   [&] { return count_lines(tiny.run(name) / "metrics.jsonl") >= steps; });
}

TEST_CASE("a second process on a run folder is refused, naming the first", "[process]") {
  const TinyRun tiny;
  const Process first(tiny.train("run", kLong));
  wait_for_steps(tiny, "run", 1);
  const Ended second = Process(tiny.train("run", kLong)).wait();
  CHECK(second.exit_code == kUserError);
  CHECK_THAT(second.err, Contains(tiny.run("run").string() + ": is in use by process " +
                                  std::to_string(first.id())));
}

TEST_CASE("one signal finishes the step, saves, and says how to resume", "[process]") {
  const int signal = GENERATE(SIGINT, SIGTERM);
  const TinyRun tiny;
  Process process(tiny.train("run", kLong));
  wait_for_steps(tiny, "run", 3);
  process.send(signal);
  const Ended ended = process.wait();
  INFO(ended.out << ended.err);
  CHECK(ended.exit_code == 0);
  CHECK_THAT(ended.err, Contains("stopping after this step"));
  CHECK_THAT(ended.out,
             Contains("signal at step") && Contains("run the same command again to resume"));
  // Every step that was made is saved: records are written at every step, the last one names the
  // newest checkpoint.
  const std::string step = std::to_string(count_lines(tiny.run("run") / "metrics.jsonl"));
  CHECK(fs::exists(tiny.run("run") / "checkpoints" /
                   ("step-" + std::string(8 - step.size(), '0') + step) / "manifest.json"));
}

TEST_CASE("a run that diverges stops, naming step, parameter and layer", "[process]") {
  const TinyRun tiny;
  const Ended ended = Process(tiny.train("run", {"model.init.std=1e25"})).wait();
  INFO(ended.out << ended.err);
  CHECK(ended.exit_code != 0);
  CHECK_THAT(ended.err, Contains("step 1: loss ") && Contains("; the step replayed: blocks.") &&
                            Contains("its last checkpoint is at step") &&
                            Contains("Lower optim.lr"));
}

TEST_CASE("a second signal stops at once", "[process]") {
  const TinyRun tiny;
  std::vector<std::string> slow = kLong;
  slow.push_back("run.accumulate=400");  // a step takes long enough to be interrupted
  Process process(tiny.train("run", slow));
  wait_for_steps(tiny, "run", 1);
  process.send(SIGINT);
  test::wait_until("the answer to the first signal", [&] {
    return process.err().find("stopping after this step") != std::string::npos;
  });
  const auto start = std::chrono::steady_clock::now();
  process.send(SIGINT);
  const Ended ended = process.wait();
  INFO(ended.err);
  CHECK(ended.exit_code == 130);
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::milliseconds(300));
}

// A run folder with checkpoints, not finished.
void begin(const TinyRun& tiny, const std::string& name) {
  REQUIRE(Process(tiny.train(name), "checkpoint.after_rename:2").wait().signal == SIGKILL);
}

TEST_CASE("a changed recipe is refused with every changed key, unless it is allowed by name",
          "[process]") {
  const TinyRun tiny;
  begin(tiny, "run");
  const std::vector<std::string> changed = {"optim.lr=0.002", "eval.every=3"};
  const Ended refused = Process(tiny.train("run", changed)).wait();
  CHECK(refused.exit_code == kUserError);
  CHECK_THAT(refused.err, Contains("was started with another recipe") &&
                              Contains("optim.lr: 0.004 -> 0.002") &&
                              Contains("eval.every: 4 -> 3") && Contains("run.allow_changed"));

  std::vector<std::string> half = changed;
  half.push_back("run.allow_changed=[optim.lr]");
  const Ended still = Process(tiny.train("run", half)).wait();
  CHECK(still.exit_code == kUserError);
  CHECK_THAT(still.err, Contains("eval.every") && !Contains("optim.lr: "));

  std::vector<std::string> allowed = changed;
  allowed.push_back("run.allow_changed=[optim.lr, eval.*]");
  CHECK_THAT(tiny.finish("run", allowed).err, Contains("resumed from"));
}

TEST_CASE("a checkpoint of another model shape is refused with every tensor that differs",
          "[process]") {
  const TinyRun tiny;
  begin(tiny, "run");
  const Ended ended =
      Process(tiny.train("run", {"model.ffn=64", "run.allow_changed=[model.*]"})).wait();
  CHECK(ended.exit_code == kUserError);
  CHECK_THAT(ended.err, Contains("tensors do not fit this recipe") &&
                            Contains("blocks.0.ffn.gate.weight: saved [48, 32]") &&
                            Contains("expected [64, 32]") && Contains("blocks.1.ffn.down.weight") &&
                            !Contains("blocks.0.attn.q.weight"));
}

TEST_CASE("a text that changed since the checkpoint is refused", "[process]") {
  const TinyRun tiny;
  begin(tiny, "run");
  std::string text = test::read_text(tiny.text());
  text[100] = text[100] == 'a' ? 'b' : 'a';
  test::write_text(tiny.text(), text);
  const Ended ended = Process(tiny.train("run")).wait();
  INFO(ended.err);
  CHECK(ended.exit_code == kUserError);
  CHECK_THAT(ended.err, Contains("changed"));
}

}  // namespace
}  // namespace setun
