// The real program, stopped in every way: a run that was interrupted ends with the same bits as one
// that was not.
#include <signal.h>

#include <chrono>
#include <sstream>

#include "train/process.h"

namespace setun {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using test::Ended;
using test::Process;
using test::run_difference;
using test::TinyRun;

TEST_CASE("two uninterrupted runs are equal, and one of another seed is not", "[process]") {
  const TinyRun tiny;
  tiny.finish("a");
  tiny.finish("b");
  CHECK(run_difference(tiny.run("a"), tiny.run("b")) == "");
  tiny.finish("c", {"run.seed=4"});
  CHECK(run_difference(tiny.run("a"), tiny.run("c")) != "");
}

TEST_CASE("half a run and a new process equal the whole run, inside a phase's ramp", "[process]") {
  const TinyRun tiny;
  tiny.finish("whole");
  // The 5th checkpoint is that of step 10: inside the ramp (8 to 16) and between two records (9 and
  // 12).
  const Ended half = Process(tiny.train("halves"), "checkpoint.after_rename:5").wait();
  INFO(half.err);
  REQUIRE(half.signal == SIGKILL);
  REQUIRE(fs::exists(tiny.run("halves") / "checkpoints" / "step-00000010"));
  REQUIRE_FALSE(fs::exists(tiny.run("halves") / "checkpoints" / "step-00000012"));
  const Ended rest = tiny.finish("halves");
  CHECK_THAT(rest.err, Contains("resumed from") && Contains("step-00000010"));
  CHECK(run_difference(tiny.run("whole"), tiny.run("halves")) == "");
}

TEST_CASE("projected storage trains like latent storage, to the bit, and resumes", "[process]") {
  const std::string projected = "quant.default.weight.storage=projected";
  const TinyRun tiny;
  // A projected weight is a number and not a code: its products are simulated, so both must be.
  tiny.finish("latent", {"run.products=simulated"});
  tiny.finish("projected", {projected});
  CHECK(test::logged_difference(tiny.run("latent"), tiny.run("projected")) == "");
  REQUIRE(Process(tiny.train("halves", {projected}), "checkpoint.after_rename:5").wait().signal ==
          SIGKILL);
  tiny.finish("halves", {projected});
  CHECK(run_difference(tiny.run("projected"), tiny.run("halves")) == "");
  const auto model = "checkpoints/step-00000024/model.safetensors";
  CHECK(test::read_text(tiny.run("latent") / model) !=
        test::read_text(tiny.run("projected") / model));
}

TEST_CASE("two threads resume to the bit as one does", "[process]") {
  const TinyRun tiny;
  tiny.finish("whole", {"run.threads=2"});
  REQUIRE(
      Process(tiny.train("halves", {"run.threads=2"}), "checkpoint.after_rename:5").wait().signal ==
      SIGKILL);
  tiny.finish("halves", {"run.threads=2"});
  CHECK(run_difference(tiny.run("whole"), tiny.run("halves")) == "");
}

const std::vector<std::string> kMixture = {"model.moe.experts=12", "model.moe.active=2",
                                           "model.moe.heads=2", "model.moe.expert_ffn=24",
                                           "model.moe.balance=0.5"};

TEST_CASE("a mixture of experts resumes to the bit, its auxiliary loss between records too",
          "[process]") {
  const TinyRun tiny;
  tiny.finish("whole", kMixture);
  REQUIRE(Process(tiny.train("halves", kMixture), "checkpoint.after_rename:5").wait().signal ==
          SIGKILL);
  tiny.finish("halves", kMixture);
  CHECK(run_difference(tiny.run("whole"), tiny.run("halves")) == "");
  std::vector<std::string> recomputed = kMixture;
  recomputed.emplace_back("run.recompute_blocks=true");
  tiny.finish("recomputed", recomputed);
  CHECK(test::logged_difference(tiny.run("whole"), tiny.run("recomputed")) == "");
}

// A column of metrics.jsonl or layers.jsonl, in order; "null" where it is absent.
std::vector<std::string> column(const fs::path& file, const std::string& name) {
  std::istringstream lines(test::read_text(file));
  std::vector<std::string> values;
  for (std::string line; std::getline(lines, line);) {
    const std::size_t at = line.find("\"" + name + "\": ") + name.size() + 4;
    values.push_back(line.substr(at, line.find_first_of(",}", at) - at));
  }
  return values;
}

TEST_CASE("the balance loss trains and is logged, but is no part of the losses", "[process]") {
  const TinyRun tiny;
  std::vector<std::string> free = kMixture, often = {"metrics.every=1"};
  free.back() = "model.moe.balance=0";
  free.insert(free.end(), often.begin(), often.end());
  often.insert(often.end(), kMixture.begin(), kMixture.end());
  tiny.finish("balanced", often);
  tiny.finish("free", free);
  const auto a = column(tiny.run("balanced") / "metrics.jsonl", "loss"),
             b = column(tiny.run("free") / "metrics.jsonl", "loss");
  REQUIRE(a.size() == test::kTinySteps);
  CHECK(a.front() == b.front());  // the same weights: the term is not in the number
  CHECK(a.back() != b.back());
  const auto auxiliary = column(tiny.run("balanced") / "metrics.jsonl", "auxiliary_loss");
  CHECK(std::stod(auxiliary.front()) > 0.49);  // 0.5 times a little over 1
  CHECK(std::stod(auxiliary.front()) < 1.0);
  for (const std::string& value : column(tiny.run("free") / "metrics.jsonl", "auxiliary_loss")) {
    CHECK(value == "null");
  }
  int routers = 0;
  const auto names = column(tiny.run("free") / "layers.jsonl", "layer"),
             loads = column(tiny.run("free") / "layers.jsonl", "expert_load");
  for (std::size_t i = 0; i < names.size(); ++i) {
    const bool router = names[i].find("router") != std::string::npos;
    CHECK((loads[i] != "null") == router);
    if (router) {
      CHECK(std::stod(loads[i]) >= 1 / 12.0);
      CHECK(std::stod(loads[i]) <= 0.5);  // a sub-token chooses two different experts
      ++routers;
    }
  }
  CHECK(routers == test::kTinySteps / 3);
}

TEST_CASE("thirty kills, at fault points and at random times, change no bit", "[process][slow]") {
  const TinyRun tiny;
  const auto start = std::chrono::steady_clock::now();
  tiny.finish("whole");
  const double whole =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  // Where a save can be cut short, and at which pass: early ones fall into the first save after a
  // resume.
  const std::vector<std::string> points = {
      "checkpoint.before_write:1",    "checkpoint.after_tensors:2", "write_file.before_rename:1",
      "checkpoint.before_manifest:2", "checkpoint.before_rename:1", "checkpoint.after_rename:2",
      "checkpoint.before_prune:1",    "checkpoint.during_prune:1",  "write_file.before_rename:4",
      "checkpoint.before_rename:2",   "checkpoint.after_rename:1"};
  uint64_t random = 7;
  int kills = 0, finished = 0;
  for (int i = 0; kills < 32; ++i) {
    REQUIRE(i < 200);
    const bool timed = i % 3 == 2;
    Process process(tiny.train("killed"),
                    timed ? "" : points[static_cast<std::size_t>(i) % points.size()]);
    if (timed) {
      random = random * 6364136223846793005ULL + 1442695040888963407ULL;
      const double delay = whole * static_cast<double>(random >> 40) / static_cast<double>(1 << 24);
      if (!process.wait_for(delay)) {
        process.send(SIGKILL);
      }
    }
    const Ended ended = process.wait();
    INFO("run " << i << "\n" << ended.out << ended.err);
    REQUIRE((ended.signal == SIGKILL || ended.exit_code == 0));
    kills += ended.signal == SIGKILL ? 1 : 0;
    if (ended.exit_code ==
        0) {  // the end was reached: compare, and begin anew until enough were killed
      ++finished;
      CHECK(run_difference(tiny.run("whole"), tiny.run("killed")) == "");
      fs::remove_all(tiny.run("killed"));
    }
  }
  tiny.finish("killed");
  CHECK(run_difference(tiny.run("whole"), tiny.run("killed")) == "");
  CAPTURE(kills, finished);
  CHECK(kills >= 30);
}

TEST_CASE("a truncated newest checkpoint is named and the run goes on from the one before",
          "[process]") {
  const TinyRun tiny;
  tiny.finish("whole");
  REQUIRE(Process(tiny.train("cut"), "checkpoint.after_rename:6").wait().signal == SIGKILL);
  const fs::path damaged = tiny.run("cut") / "checkpoints/step-00000012/optimizer.safetensors";
  fs::resize_file(damaged, fs::file_size(damaged) / 2);
  const Ended rest = tiny.finish("cut");
  CHECK_THAT(rest.err, Contains("optimizer.safetensors: has") && Contains("truncated") &&
                           Contains("step-00000010"));
  CHECK(run_difference(tiny.run("whole"), tiny.run("cut")) == "");
}

TEST_CASE("a finished run is reported and not trained again", "[process]") {
  const TinyRun tiny;
  tiny.finish("run");
  const auto written = fs::last_write_time(tiny.run("run") / "metrics.jsonl");
  const Ended again = tiny.finish("run");
  CHECK_THAT(again.err, Contains("has finished"));
  CHECK_THAT(again.out, Contains("finished at step 24"));
  CHECK(fs::last_write_time(tiny.run("run") / "metrics.jsonl") == written);
}

TEST_CASE("a run that may write no large file trains on, and its next process saves", "[process]") {
  const TinyRun tiny;
  tiny.finish("whole");
  // The shards are in the cache by now; checkpoints (115 KB and more) exceed the limit, records do
  // not.
  const Ended limited = Process(tiny.train("full"), "", 50'000).wait();
  INFO(limited.out << limited.err);
  CHECK_THAT(limited.err,
             Contains("the checkpoint of step 2 is not saved") && Contains("File too large"));
  CHECK(test::count_lines(tiny.run("full") / "metrics.jsonl") == test::kTinySteps / 3);
  CHECK(limited.exit_code !=
        0);  // nothing could be saved at the end, and that must not look like success
  tiny.finish("full");
  CHECK(run_difference(tiny.run("whole"), tiny.run("full")) == "");
}

}  // namespace
}  // namespace setun
