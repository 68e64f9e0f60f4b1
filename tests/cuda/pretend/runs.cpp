#include "cuda/pretend/runs.h"

#include <ATen/ATen.h>

#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cuda/pretend/device.h"
#include "ops/devices.h"
#include "recipes/tiny.h"

namespace setun::test {
namespace {

namespace fs = std::filesystem;

// Everything that the program would print, kept out of the test's own lines.
class Quiet {
 public:
  Quiet() : before_(std::cout.rdbuf(text_.rdbuf())) {}
  ~Quiet() { std::cout.rdbuf(before_); }
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;
  std::string text() const { return text_.str(); }

 private:
  std::ostringstream text_;
  std::streambuf* before_;
};

}  // namespace

std::filesystem::path source_folder() { return SETUN_SOURCE_DIR; }

Runs::Runs(const Case& tiny) : case_(tiny) {
  pretend_device();
  ops::set_cuda_stand_in(at::kPrivateUse1);
  write_text(folder_ / "tiny.txt", tiny_text(30'000));
  write_samples(folder_.path());
}
Runs::~Runs() { ops::set_cuda_stand_in(std::nullopt); }

RunConfig Runs::config(const std::string& name, const char* device, const Overrides& more) const {
  const fs::path recipe = source_folder() / case_.recipe;
  const RunConfig full = config::load_recipe(recipe, {}).config;
  const int steps = case_.steps;
  Overrides all = full.data.kind == DataKind::kText
                      ? tiny_overrides(folder_ / "tiny.txt", folder_.path(), steps)
                      : tiny_sample_overrides(full.data.kind, folder_.path(), steps);
  if (full.data.kind == DataKind::kText) {
    const Overrides smaller = {"model.layers=2", "data.context=16", "data.batch=1",
                               "data.tokenizer.kind=bytes"};
    all.insert(all.end(), smaller.begin(), smaller.end());
  }
  const Overrides common = {
      "run.accumulate=" + std::to_string(std::min<int64_t>(full.run.accumulate, 2)),
      "run.threads=1", "run.matmul_precision=highest"};
  all.insert(all.end(), common.begin(), common.end());
  all.insert(all.end(), case_.overrides.begin(), case_.overrides.end());
  all.insert(all.end(), more.begin(), more.end());
  all.push_back("run.output=" + path(name).string());
  all.push_back(std::string("run.device=") + device);
  return config::load_recipe(recipe, all).config;
}

run::TrainSummary Runs::train(const std::string& name, const char* device,
                              const Overrides& more) const {
  const RunConfig made = config(name, device, more);
  const Quiet quiet;
  return run::train(made, config::emit_yaml(made, /*full=*/true));
}

std::vector<double> Runs::losses(const std::string& name) const {
  std::vector<double> all;
  std::ifstream file(path(name) / "metrics.jsonl");
  for (std::string line; std::getline(file, line);) {
    all.push_back(nlohmann::json::parse(line).at("loss").get<double>());
  }
  return all;
}

Checkpoint Runs::newest(const std::string& name) const {
  return CheckpointStore(path(name), {}).load_newest().value().checkpoint;
}

std::string Runs::evaluate(const std::string& name, const char* device) const {
  const Quiet quiet;
  run::evaluate(config(name, device, {}), path(name).string());
  return quiet.text();
}

std::string Runs::generate(const std::string& name, const char* device) const {
  const Quiet quiet;
  run::generate(config(name, device, {"generate.prompt=and the", "generate.tokens=12"}),
                path(name).string());
  return quiet.text();
}

void Runs::go_back(const std::string& name, int step) const {
  fs::remove(path(name) / "summary.json");
  REQUIRE(fs::exists(path(name) / "checkpoints" / ("step-0000000" + std::to_string(step))));
  for (const auto& entry : fs::directory_iterator(path(name) / "checkpoints")) {
    const std::string folder = entry.path().filename().string();
    if (std::stoi(folder.substr(folder.find('-') + 1)) > step) {
      fs::remove_all(entry.path());
    }
  }
}

void check_close(const std::vector<double>& a, const std::vector<double>& b, double bound) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    INFO("record " << i << ": " << a[i] << " and " << b[i]);
    CHECK(std::abs(a[i] - b[i]) <= bound * std::abs(b[i]));
  }
}

double weight_difference(const Checkpoint& a, const Checkpoint& b) {
  REQUIRE(a.model.size() == b.model.size());
  double worst = 0;
  for (std::size_t i = 0; i < a.model.size(); ++i) {
    const at::Tensor &x = a.model[i].tensor, &y = b.model[i].tensor;
    worst = std::max(worst, ((x - y).abs().max() / y.abs().max()).item<double>());
  }
  return worst;
}

}  // namespace setun::test
