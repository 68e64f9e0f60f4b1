// quant.attention in the real program: `from` is exact to the step and survives a resume, and a
// stored run is evaluated and sampled at other bits than it was trained with.
#include <signal.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "train/process.h"

namespace setun {
namespace {

using Catch::Matchers::Contains;
using test::Ended;
using test::Process;
using test::TinyRun;

const std::string kFrom12 =
    "quant.attention={key_bits: 3, value_bits: 3, query_bits: 4, first_token_bits: 4, from: 12}";

// The logged losses, one every three steps.
std::vector<double> losses(const std::filesystem::path& run) {
  std::vector<double> all;
  std::ifstream metrics(run / "metrics.jsonl");
  for (std::string line; std::getline(metrics, line);) {
    all.push_back(nlohmann::json::parse(line).at("loss").get<double>());
  }
  return all;
}

// What `setun eval` prints behind "validation loss".
std::string evaluated(const std::filesystem::path& folder,
                      const std::vector<std::string>& overrides = {}) {
  std::vector<std::string> arguments = {"eval", folder.string()};
  arguments.insert(arguments.end(), overrides.begin(), overrides.end());
  const Ended ended = Process(arguments).wait();
  INFO(ended.err);
  REQUIRE(ended.exit_code == 0);
  const std::size_t at = ended.out.find("validation loss  ");
  REQUIRE(at != std::string::npos);
  return ended.out.substr(at, ended.out.find('\n', at) - at);
}

TEST_CASE("attention is quantized from its step on, and a resume before it crosses it",
          "[process]") {
  const TinyRun tiny;
  tiny.finish("full");
  tiny.finish("whole", {kFrom12});
  const std::vector<double> full = losses(tiny.run("full")), whole = losses(tiny.run("whole"));
  REQUIRE(full.size() == 8);
  REQUIRE(whole.size() == 8);
  for (std::size_t i = 0; i < 8; ++i) {
    INFO("steps " << 3 * i << " to " << 3 * i + 2);
    CHECK((full[i] == whole[i]) == (3 * i < 12));
  }
  // The 5th checkpoint is that of step 10, the 7th that of step 14.
  for (const char* fault : {"checkpoint.after_rename:5", "checkpoint.after_rename:7"}) {
    const std::string name = std::string("halves") + std::string(fault).back();
    REQUIRE(Process(tiny.train(name, {kFrom12}), fault).wait().signal == SIGKILL);
    // A checkpoint is evaluated as its step says.
    const std::vector<std::string> none = {"quant.attention.key_bits=0",
                                           "quant.attention.value_bits=0",
                                           "quant.attention.query_bits=0"};
    CHECK((evaluated(tiny.run(name)) == evaluated(tiny.run(name), none)) ==
          (std::string(fault).back() == '5'));
    CHECK_THAT(tiny.finish(name, {kFrom12}).err, Contains("resumed from"));
    CHECK(test::run_difference(tiny.run("whole"), tiny.run(name)) == "");
  }
}

TEST_CASE("a stored run is evaluated and continued at other bits, as after training", "[process]") {
  const TinyRun tiny;
  tiny.finish("run");
  const std::string run = tiny.run("run").string();
  std::set<std::string> seen = {evaluated(run)};
  for (const char* bits : {"2", "3", "4", "8"}) {
    seen.insert(evaluated(run, {std::string("quant.attention.key_bits=") + bits,
                                std::string("quant.attention.value_bits=") + bits}));
  }
  CHECK(seen.size() == 5);  // every number of bits has a loss of its own
  const auto text = [&](const std::string& bits) {
    const Ended ended =
        Process({"generate", run, "generate.prompt=the king", "generate.tokens=40",
                 "quant.attention.key_bits=" + bits, "quant.attention.value_bits=" + bits})
            .wait();
    INFO(ended.err);
    CHECK(ended.exit_code == 0);
    return ended.out;
  };
  CHECK(text("2") != text("0"));
  // Training on with it is another recipe.
  const Ended resumed = Process(tiny.train("run", {"quant.attention.key_bits=4"})).wait();
  CHECK(resumed.exit_code == 2);
  CHECK_THAT(resumed.err, Contains("quant.attention.key_bits: 0 -> 4"));
}

TEST_CASE("inspect says what the packed cache of a low-bit run takes", "[process]") {
  const TinyRun tiny;
  tiny.finish("run", {kFrom12});
  const Ended ended = Process({"inspect", tiny.run("run").string()}).wait();
  // 2 layers x 2 heads of 16: 6 bytes of codes and a scale, for keys and for values.
  CHECK_THAT(ended.out, Contains("kv cache 80 bytes a token, packed, from step 12 on"));
}

}  // namespace
}  // namespace setun
