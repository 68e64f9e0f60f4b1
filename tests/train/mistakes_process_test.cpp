// Twenty-one mistakes on the command line of the quickstart recipe: the real program stops within a
// second, exit code 2, with a message that names the key and the way out. Exact texts of many more:
// tests/config/bad_configs.txt.
#include <chrono>

#include "train/process.h"

namespace setun {
namespace {

using Catch::Matchers::Contains;
using test::Ended;
using test::Process;

struct Mistake {
  const char* override_text;
  const char* key;     // the message names it
  const char* remedy;  // and says this
};

const std::vector<Mistake> kMistakes = {
    {"model.dmi=64", "model.dmi", "did you mean hidden?"},
    {"optim.learning_rate=1e-3", "optim.learning_rate", "did you mean lr?"},
    {"modle.hidden=256", "modle", "did you mean model?"},
    {"model.hidden=wide", "model.hidden", "expected a whole number"},
    {"model.hidden=100000000000", "model.hidden", "1 to "},
    {"model.heads=5", "model.", "5"},
    {"model.kv_heads=3", "model.kv_heads", "divide"},
    {"model.ffn_kind=swigul", "model.ffn_kind", "did you mean swiglu?"},
    {"data.batch=0", "data.batch", "1 to"},
    {"data.text=no_such_file.txt", "no_such_file.txt", "No such file"},
    {"data.context=4096", "data.context", "max_context"},
    {"data.validation_fraction=1.5", "data.validation_fraction", "1"},
    {"data.tokenizer.vocab_size=1", "data.tokenizer.vocab_size", "1"},
    {"optim.lr=fast", "optim.lr", "expected a number"},
    {"schedule.kind=cosin", "schedule.kind", "did you mean cosine?"},
    {"schedule.warmup=1.5", "schedule.warmup", "fraction"},
    {"quant.default.weight.scheme=ternary", "quant.default.weight.scheme", "absmean"},
    {"quant.default.activation.bits=9", "quant.default.activation.bits", "8"},
    {"quant.default.weight.group_size=128", "quant.default.weight.group_size", "granularity"},
    {"run.steps=-1", "run.steps", "-1"},
    {"run.device=gpu", "run.device", "cpu, cuda"},
    {"run.device=cuda", "run.device", "run.device=cpu"},
};

TEST_CASE("mistakes on the quickstart's command line stop within a second", "[process]") {
  const test::TempDir folder;
  test::write_text(folder / "text.txt", "In the beginning\n");
  for (const Mistake& mistake : kMistakes) {
    INFO(mistake.override_text);
    const auto start = std::chrono::steady_clock::now();
    Process process({"train", SETUN_SOURCE_DIR "/recipes/quickstart.yaml",
                     "data.text=" + (folder / "text.txt").string(),
                     "run.output=" + (folder / "run").string(), mistake.override_text});
    const Ended ended = process.wait();
    const auto took = std::chrono::steady_clock::now() - start;
    CHECK(ended.exit_code == 2);
    CHECK_THAT(ended.err, Contains(mistake.key));
    CHECK_THAT(ended.err, Contains(mistake.remedy));
    CHECK(took < std::chrono::seconds(1));
    CHECK_FALSE(std::filesystem::exists(folder / "run" / "metrics.jsonl"));
  }
}

}  // namespace
}  // namespace setun
