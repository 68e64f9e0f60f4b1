// `setun bench step` and `decode` in the real program: every arm takes part, the JSON holds what
// was printed, steps come on request, and what cannot be compared is refused before anything is
// built.
#include <sys/wait.h>

#include <iterator>
#include <nlohmann/json.hpp>

#include "train/process.h"

namespace setun {
namespace {

using Catch::Matchers::Contains;
using test::Ended;
using test::Process;

const std::vector<std::string> kTiny = {
    "recipes/quickstart.yaml", "model.hidden=64", "model.ffn=64",
    "data.context=16",         "data.batch=2",    "run.threads=1",
    "model.max_context=128",   "run.steps=10"};

Ended bench(std::vector<std::string> arguments, const std::vector<std::string>& options) {
  arguments.insert(arguments.begin(), "bench");
  arguments.insert(arguments.end(), kTiny.begin(), kTiny.end());
  arguments[2] = std::string(SETUN_SOURCE_DIR "/") + arguments[2];
  arguments.insert(arguments.end(), options.begin(), options.end());
  return Process(arguments).wait();
}

std::vector<std::string> arm_names(const nlohmann::json& contest) {
  std::vector<std::string> names;
  for (const auto& arm : contest.at("arms")) {
    CHECK(arm.at("median_ms").get<double>() > 0);
    names.push_back(arm.at("name"));
  }
  return names;
}

TEST_CASE("bench step times every arm, in bf16 one more, and writes them as JSON", "[process]") {
  const test::TempDir folder;
  for (const std::string compute : {"fp32", "bf16"}) {
    INFO(compute);
    const Ended ended = bench({"step"}, {"run.compute=" + compute, "--repetitions", "2", "--json",
                                         (folder / "step.json").string()});
    INFO(ended.err);
    REQUIRE(ended.exit_code == 0);
    const auto json = nlohmann::json::parse(test::read_text(folder / "step.json"));
    const std::vector<std::string> names = arm_names(json.at("contests").at(0));
    CHECK(names.size() == (compute == "bf16" ? 7 : 6));
    for (const std::string& name : names) {
      CHECK_THAT(ended.out, Contains(name));
    }
  }
}

TEST_CASE("bench step tells where the time goes, the integer product among it", "[process]") {
  // enough rows that no operator of interest is below the half per cent that the table begins with
  const Ended ended = bench({"step"}, {"--profile", "--repetitions", "1", "model.ffn=1024"});
  REQUIRE(ended.exit_code == 0);
  CHECK_THAT(ended.out, Contains("setun::ternary_linear") && Contains("aten::"));
}

// What `setun bench WHAT --on-request` answers two lines with, split at white space.
std::vector<std::string> answers(const std::string& what) {
  const test::TempDir folder;
  std::string command = "printf 'a\\nb\\n' | " SETUN_BINARY " bench " + what + " --on-request";
  for (std::size_t i = 0; i < kTiny.size(); ++i) {
    command += " " + (i == 0 ? std::string(SETUN_SOURCE_DIR "/") : "") + kTiny[i];
  }
  command += " >" + (folder / "out").string();
  REQUIRE(WEXITSTATUS(std::system(command.c_str())) == 0);
  std::istringstream out(test::read_text(folder / "out"));
  return {std::istream_iterator<std::string>(out), {}};
}

TEST_CASE("bench step and decode measure once for every line of input", "[process]") {
  const std::vector<std::string> step = answers("step"),
                                 decode = answers("decode --tokens 4 --prompt 8");
  CHECK(step.size() == 1 + 2);
  CHECK(decode.size() == 1 + 2 * 2);  // prompt and tokens
  for (const std::vector<std::string>& words : {step, decode}) {
    CHECK(words[0] == "ready");
    for (std::size_t i = 1; i < words.size(); ++i) {
      CHECK(std::stod(words[i]) > 0);
    }
  }
}

TEST_CASE("bench decode generates through the operators of few rows", "[process]") {
  for (const std::string head : {"compute", "int8"}) {
    const Ended ended =
        bench({"decode"}, {"--profile", "--repetitions", "1", "--prompt", "8", "--tokens", "32",
                           "run.compute=bf16", "run.inference_head=" + head});
    INFO(ended.err);
    REQUIRE(ended.exit_code == 0);
    CHECK_THAT(ended.out, Contains("setun::cached_attention"));
    CHECK_THAT(ended.out,
               Contains(head == "int8" ? "setun::int8_linear" : "setun::few_rows_linear"));
    CHECK_THAT(ended.out, !Contains("aten::mm"));
  }
}

TEST_CASE("bench decode times prompt and tokens of every arm", "[process]") {
  const test::TempDir folder;
  const Ended ended = bench({"decode"}, {"--repetitions", "1", "--prompt", "8", "--tokens", "4",
                                         "--json", (folder / "decode.json").string()});
  INFO(ended.err);
  REQUIRE(ended.exit_code == 0);
  const auto json = nlohmann::json::parse(test::read_text(folder / "decode.json"));
  REQUIRE(json.at("contests").size() == 2);
  for (const auto& contest : json.at("contests")) {
    CHECK(arm_names(contest).size() == 5);
  }
  const Ended long_one = bench({"decode"}, {"--prompt", "125"});
  CHECK(long_one.exit_code == 2);
  CHECK_THAT(long_one.err, Contains("exceed model.max_context = 128"));
}

TEST_CASE("every form of bench refuses a classifier", "[process]") {
  const std::string xor_recipe = SETUN_SOURCE_DIR "/recipes/classify/xor.yaml";
  for (const std::vector<std::string>& form : std::vector<std::vector<std::string>>{
           {"step"}, {"step", "--profile"}, {"step", "--on-request"}, {"decode"}}) {
    std::vector<std::string> arguments = {"bench"};
    arguments.insert(arguments.end(), form.begin(), form.end());
    arguments.push_back(xor_recipe);
    const Ended ended = Process(arguments).wait();
    CHECK(ended.exit_code == 2);
    CHECK_THAT(ended.err, Contains("model.kind is mlp"));
  }
}

}  // namespace
}  // namespace setun
