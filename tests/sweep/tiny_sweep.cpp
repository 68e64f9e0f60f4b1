#include "sweep/tiny_sweep.h"

#include "recipes/tiny.h"

namespace setun::test {
namespace {

const char* const kRecipe = R"(
model: {hidden: 32, layers: 2, heads: 2, ffn: 48, max_context: 64}
optim: {lr: 4.0e-3}
quant:
  phases:
    - at: 8
      ramp: 8
      layers:
        - {match: "*", set: {weight: {scheme: absmean}, activation: {scheme: absmax}}}
run: {seed: 3, steps: 24, accumulate: 2, output: runs/unused}
eval: {every: 4, batches: 2}
checkpoint: {every: 2, keep_last: 2}
metrics: {every: 3, layers_every: 3, tensorboard: true}
)";

}  // namespace

TinySweep::TinySweep() {
  write_text(folder_ / "text.txt", tiny_text(30'000));
  write_text(recipe(), kRecipe + ("data: {context: 32, batch: 4, validation_fraction: 0.1, "
                                  "document: paragraph, prefetch: 2, text: " +
                                  (folder_ / "text.txt").string() +
                                  ", cache: " + (folder_ / "cache").string() + "}\n"));
}

std::string TinySweep::write(const std::string& name, const std::string& rest) const {
  const std::filesystem::path path = folder_ / (name + ".yaml");
  write_text(path,
             "recipe: " + recipe().string() + "\noutput: " + folder(name).string() + "\n" + rest);
  return path.string();
}

std::vector<std::string> TinySweep::command(const std::string& name,
                                            const std::vector<std::string>& more) const {
  std::vector<std::string> arguments = {"sweep", folder_ / (name + ".yaml")};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

Ended TinySweep::finish(const std::string& name, const std::vector<std::string>& more) const {
  const Ended ended = Process(command(name, more)).wait();
  INFO(ended.out << ended.err);
  REQUIRE(ended.exit_code == 0);
  return ended;
}

std::vector<std::string> names(const sweep::Plan& plan) {
  std::vector<std::string> all;
  for (const sweep::PlannedRun& run : plan.runs) {
    all.push_back(run.name);
  }
  return all;
}

}  // namespace setun::test
