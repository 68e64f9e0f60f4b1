// The real program: help texts are frozen, exit codes mean what they say, errors are one clear
// message on stderr.
#include <cstdlib>

#include "support/catch.h"

namespace setun {
namespace {

struct Result {
  int code;
  std::string out, err;
};

Result setun_program(const std::string& arguments) {
  const test::TempDir folder;
  const std::string out = (folder / "out").string(), err = (folder / "err").string();
  const int status = std::system((SETUN_BINARY " " + arguments + " >" + out + " 2>" + err).c_str());
  return {WEXITSTATUS(status), test::read_text(out), test::read_text(err)};
}

TEST_CASE("help is what tests/config/help.txt says", "[cli]") {
  std::string text;
  for (const char* command : {"", "train", "eval", "generate", "data", "sweep", "inspect", "bench",
                              "bench step", "bench decode", "bench kernels", "config",
                              "config print", "config check", "config reference"}) {
    const Result help = setun_program(std::string(command) + " --help");
    CHECK(help.code == 0);
    CHECK(help.err.empty());
    text += "$ setun " + std::string(command) + " --help\n" + help.out + "\n";
  }
  INFO(text);
  CHECK(text == test::read_text(SETUN_SOURCE_DIR "/tests/config/help.txt"));
}

TEST_CASE("mistakes on the command line exit with 2 and one message", "[cli]") {
  const std::pair<const char*, const char*> mistakes[] = {
      {"traim recipe.yaml",
       "setun: unknown command traim; did you mean train? (commands: train, eval, generate, data, "
       "sweep, inspect, bench, config)\n"},
      {"config chek recipe.yaml",
       "setun config: unknown command chek; did you mean check? (commands: print, check, "
       "reference)\n"},
      {"train recipes/quickstrat.yaml",
       "recipes/quickstrat.yaml: no such recipe or run folder; did you mean "
       "recipes/quickstart.yaml?\n"},
      {"train recipes/quickstart.yaml model.layers=0",
       "command line: model.layers: must be 1 to 10000, got 0\n"},
      {"train recipes/quickstart.yaml run.output=",
       "run.output: missing; name the run folder, e.g. run.output=runs/first\n"},
      {"eval nowhere",
       "nowhere: no such recipe or run folder; expected a YAML file such as "
       "recipes/quickstart.yaml\n"},
      {"eval csrc", "csrc: is a folder without config.yaml; expected a run or checkpoint folder\n"},
      {"sweep recipes/sweep/smok.yaml",
       "recipes/sweep/smok.yaml: no such sweep file; did you mean recipes/sweep/smoke.yaml?\n"},
      {"sweep recipes/quickstart.yaml --dry-run --table", "give one of --dry-run and --table\n"},
      {"bench kernels --only product --shape 512x2048",
       "setun bench kernels: --shape 512x2048: expected rows x columns x outputs such as "
       "512x2048x2048\n"},
      {"bench kernels --path avx3",
       "setun bench kernels: --path avx3: expected one of scalar, avx2, avx512, avx512_vnni, "
       "neon_dot\n"},
      {"bench kernels --only gemm",
       "setun bench kernels: --only gemm: expected one of product, decode, head, activations, "
       "weights, attention, hadamard\n"},
      {"inspect nowhere", "nowhere: no such run or checkpoint folder\n"}};
  for (const auto& [arguments, message] : mistakes) {
    INFO(arguments);
    const Result result = setun_program(arguments);
    CHECK(result.code == 2);
    CHECK(result.out.empty());
    CHECK(result.err == message);
  }
}

TEST_CASE("unknown flags and missing arguments exit with 2", "[cli]") {
  for (const char* arguments : {"", "train", "config", "bench", "train a.yaml --lr 3"}) {
    INFO(arguments);
    const Result result = setun_program(arguments);
    CHECK(result.code == 2);
    CHECK(result.out.empty());
    CHECK(result.err.find("--help") != std::string::npos);
  }
}

TEST_CASE("config check and print need no run folder", "[cli]") {
  const Result check = setun_program("config check recipes/smoke/ternary.yaml run.output=");
  CHECK(check.code == 0);
  CHECK(check.out.find("packed size") != std::string::npos);
  const Result print =
      setun_program("config print recipes/smoke/ternary.yaml run.output= optim.lr=0.25");
  CHECK(print.code == 0);
  CHECK(print.out.find("\noptim:\n  lr: 0.25\n") != std::string::npos);
  CHECK(setun_program("config print --full recipes/smoke/ternary.yaml").out.size() >
        2 * print.out.size());
}

TEST_CASE("what config print writes is a recipe that prints the same", "[cli]") {
  const test::TempDir folder;
  for (const char* flag : {"", "--full "}) {
    const Result first =
        setun_program("config print " + std::string(flag) + "recipes/smoke/phases_ramp.yaml");
    REQUIRE(first.code == 0);
    test::write_text(folder / "printed.yaml", first.out);
    CHECK(setun_program("config print " + std::string(flag) + (folder / "printed.yaml").string())
              .out == first.out);
  }
}

TEST_CASE("bench kernels writes what it prints as JSON", "[cli]") {
  const test::TempDir folder;
  const std::string json = (folder / "kernels.json").string();
  const Result result = setun_program(
      "bench kernels --only product --shape 20x64x48 --repetitions 2 --threads 1 --path scalar "
      "--json " +
      json);
  CHECK(result.code == 0);
  CHECK(result.out.find("1 threads, Setun path scalar") != std::string::npos);
  const std::string text = test::read_text(json);
  for (const char* wanted : {"\"path\": \"scalar\"", "\"threads\": 1", "product 20x64x48",
                             "at::_int_mm", "Setun ternary_linear, bf16 result", "\"speed_up\""}) {
    INFO(wanted);
    CHECK(text.find(wanted) != std::string::npos);
  }
}

TEST_CASE("--version names the program", "[cli]") {
  CHECK(setun_program("--version").out.starts_with("setun "));
}

}  // namespace
}  // namespace setun
