// The real program, stopped in every way: nothing is lost, nothing runs twice, and what comes out
// is what an uninterrupted sweep gives.
#include <signal.h>

#include "base/files.h"
#include "sweep/tiny_sweep.h"

namespace setun {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using test::Ended;
using test::Process;
using test::TinySweep;

constexpr int kUserError = 2;
// Steps slow enough to be interrupted: 24 of them take some seconds.
const char* const kSlow =
    "parallel: 2\nset: {run.accumulate: 40, run.threads: 1}\n"
    "seeds: [1, 2, 3]\n";

int64_t records(const TinySweep& tiny, const std::string& run) {
  return test::count_lines(tiny.run("sweep", run) / "metrics.jsonl");
}

// One run has ended and another is somewhere in the middle.
void wait_for_the_middle(const TinySweep& tiny) {
  test::wait_until("the middle of the sweep", [&] {
    return (tiny.finished("sweep", "recipe-s1") || tiny.finished("sweep", "recipe-s2")) &&
           records(tiny, "recipe-s3") >= 2 && !tiny.finished("sweep", "recipe-s3");
  });
}

std::vector<std::string> finished_runs(const TinySweep& tiny) {
  std::vector<std::string> done;
  for (const char* run : {"recipe-s1", "recipe-s2", "recipe-s3"}) {
    if (tiny.finished("sweep", run)) {
      done.emplace_back(run);
    }
  }
  return done;
}

void compare_with_uninterrupted(const TinySweep& tiny) {
  tiny.write("whole", kSlow);
  tiny.finish("whole");
  for (const char* run : {"recipe-s1", "recipe-s2", "recipe-s3"}) {
    INFO(run);
    CHECK(test::run_difference(tiny.run("sweep", run), tiny.run("whole", run)) == "");
  }
}

TEST_CASE("kill -9 in the middle: runs die with the sweep, and a restart completes it",
          "[sweep][process]") {
  const TinySweep tiny;
  tiny.write("sweep", kSlow);
  Process process(tiny.command("sweep"));
  wait_for_the_middle(tiny);
  process.send(SIGKILL);
  REQUIRE(process.wait().signal == SIGKILL);
  // At once: the runs of the killed sweep may still be saving when the second one starts.
  const std::vector<std::string> done = finished_runs(tiny);
  REQUIRE_FALSE(done.empty());
  REQUIRE(done.size() < 3);
  const Ended again = tiny.finish("sweep");
  INFO(again.err);
  for (const std::string& run : done) {
    CHECK_THAT(again.err, !Contains("started   " + run));
  }
  CHECK_THAT(again.err, Contains("started   recipe-s3"));
  CHECK_THAT(test::read_text(tiny.run("sweep", "recipe-s3") / "log.txt"), Contains("resumed from"));
  compare_with_uninterrupted(tiny);
}

TEST_CASE("runs of a killed sweep end by themselves, having saved", "[sweep][process]") {
  const TinySweep tiny;
  tiny.write("sweep", "set: {run.steps: 100000, run.threads: 1, checkpoint.every: 0}\n");
  Process process(tiny.command("sweep"));
  test::wait_until("steps", [&] { return records(tiny, "recipe-s3") >= 2; });
  process.send(SIGKILL);
  process.wait();
  test::wait_until("the end of the run",
                   [&] { return lock_owner(tiny.run("sweep", "recipe-s3") / "run.lock").empty(); });
  CHECK_FALSE(fs::is_empty(tiny.run("sweep", "recipe-s3") / "checkpoints"));
}

TEST_CASE("one signal saves every run; the same command resumes them to the bit",
          "[sweep][process]") {
  const int signal = GENERATE(SIGINT, SIGTERM);
  const TinySweep tiny;
  tiny.write("sweep", kSlow);
  Process process(tiny.command("sweep"));
  test::wait_until("steps", [&] { return records(tiny, "recipe-s1") >= 2; });
  process.send(signal);
  const Ended ended = process.wait();
  INFO(ended.out << ended.err);
  CHECK(ended.exit_code == 0);
  CHECK_THAT(ended.err, Contains("asked 2 running runs to save and stop"));
  CHECK_THAT(ended.out, Contains("3 runs are not finished; run the same command again to resume"));
  CHECK(finished_runs(tiny).empty());
  tiny.finish("sweep", {"parallel=1"});
  CHECK_THAT(test::read_text(tiny.run("sweep", "recipe-s1") / "log.txt"), Contains("resumed from"));
  if (signal == SIGINT) {
    compare_with_uninterrupted(tiny);
  }
}

TEST_CASE("a second signal stops at once", "[sweep][process]") {
  const TinySweep tiny;
  tiny.write("sweep",
             "set: {run.steps: 1000, run.accumulate: 4000, run.threads: 1, "
             "metrics: {every: 1, layers_every: 0}}\n");
  Process process(tiny.command("sweep"));
  test::wait_until("a run that has begun",
                   [&] { return fs::exists(tiny.run("sweep", "recipe-s3") / "metrics.jsonl"); });
  process.send(SIGINT);
  test::wait_until("the answer to the first signal",
                   [&] { return process.err().find("asked 1 running") != std::string::npos; });
  process.send(SIGINT);
  const std::optional<Ended> ended = process.wait_for(2);
  REQUIRE(ended);
  CHECK(ended->exit_code == 130);
  test::wait_until("the end of the run",
                   [&] { return lock_owner(tiny.run("sweep", "recipe-s3") / "run.lock").empty(); });
}

TEST_CASE("a run killed on its own fails the sweep, and resumes in the next", "[sweep][process]") {
  const TinySweep tiny;
  tiny.write("sweep", "seeds: [1]\nset: {run.threads: 1}\n");
  const Ended ended = Process(tiny.command("sweep"), "checkpoint.after_rename:5").wait();
  INFO(ended.err);
  CHECK(ended.exit_code == kUserError);
  CHECK_THAT(ended.err, Contains("failed    recipe-s1") && Contains("by signal 9"));
  tiny.finish("sweep");
  CHECK_THAT(test::read_text(tiny.run("sweep", "recipe-s1") / "log.txt"), Contains("resumed from"));
}

TEST_CASE("a second sweep in the folder is refused, naming the first", "[sweep][process]") {
  const TinySweep tiny;
  tiny.write("sweep", "set: {run.steps: 100000, run.threads: 1}\n");
  Process first(tiny.command("sweep"));
  test::wait_until("steps", [&] { return records(tiny, "recipe-s3") >= 1; });
  const Ended second = Process(tiny.command("sweep")).wait();
  CHECK(second.exit_code == kUserError);
  CHECK(second.err == tiny.folder("sweep").string() + ": is in use by process " +
                          std::to_string(first.id()) +
                          "; wait for it to end, stop it, or choose another output\n");
  first.send(SIGTERM);
  CHECK(first.wait().exit_code == 0);
}

}  // namespace
}  // namespace setun
