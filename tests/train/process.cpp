#include "train/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>
#include <sstream>

#include "formats/tensorboard_events.h"
#include "recipes/tiny.h"

namespace setun::test {
namespace {

namespace fs = std::filesystem;

const char* const kRecipe = R"(
model: {hidden: 32, layers: 2, heads: 2, ffn: 48, max_context: 64}
data: {context: 32, batch: 4, validation_fraction: 0.1, document: paragraph, prefetch: 2}
optim: {lr: 4.0e-3}
schedule: {kind: two_stage}
quant:
  phases:
    - at: 8
      ramp: 8
      layers:
        - {match: "*", set: {weight: {scheme: absmean}, activation: {scheme: absmax}}}
run: {seed: 3, steps: 24, accumulate: 2, threads: 1}
eval: {every: 4, batches: 2}
checkpoint: {every: 2, keep_last: 2}
metrics: {every: 3, layers_every: 3, tensorboard: true}
)";

// Paths of a run folder whose content must be equal byte for byte.
std::vector<std::string> exact_files() {
  const std::string last = "checkpoints/step-000000" + std::to_string(kTinySteps) + "/";
  return {last + "model.safetensors",
          last + "optimizer.safetensors",
          last + "metrics.safetensors",
          last + "state.json",
          "eval.jsonl",
          "eval.csv",
          "layers.jsonl",
          "layers.csv"};
}

// metrics.jsonl without its times and rates.
std::string timeless_metrics(const fs::path& run) {
  std::istringstream in(read_text(run / "metrics.jsonl"));
  std::string out;
  for (std::string line; std::getline(in, line);) {
    auto json = nlohmann::json::parse(line);
    for (const char* field : {"tokens_per_second", "seconds"}) {
      if (json.erase(field) != 1) {
        return "no " + std::string(field) + " in: " + line;
      }
    }
    out += json.dump() + "\n";
  }
  return out;
}

// metrics.csv without its last two columns.
std::string timeless_csv(const fs::path& run) {
  std::istringstream in(read_text(run / "metrics.csv"));
  std::string out;
  for (std::string line; std::getline(in, line);) {
    line.resize(line.rfind(','));
    out += line.substr(0, line.rfind(',')) + "\n";
  }
  return out;
}

// Event payloads with the wall time (the 8 bytes after the first key) blanked, without rates and
// times.
std::string timeless_events(const fs::path& run) {
  constexpr std::size_t kPayload = 12, kWallTime = 9;
  std::string out;
  for (const fs::directory_entry& entry : fs::directory_iterator(run / "tensorboard")) {
    const std::string bytes = read_text(entry.path());
    const auto records = formats::split_events(std::as_bytes(std::span(bytes)));
    for (std::size_t i = 1; i < records.size(); ++i) {  // the first is the version record
      const std::string payload(
          reinterpret_cast<const char*>(records[i].frame.data()) + kPayload + kWallTime,
          records[i].frame.size() - kPayload - kWallTime - 4);
      if (payload.find("train/tokens_per_second") == std::string::npos &&
          payload.find("train/seconds") == std::string::npos) {
        out += payload;
      }
    }
  }
  return out;
}

}  // namespace

Process::Process(const std::vector<std::string>& arguments, const std::string& fault_point,
                 std::optional<std::size_t> file_size_limit) {
  std::vector<std::string> words = {SETUN_BINARY};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) {
    argv.push_back(word.data());
  }
  argv.push_back(nullptr);
  const std::string out = folder_ / "out", err = folder_ / "err";
  id_ = ::fork();
  REQUIRE(id_ >= 0);
  if (id_ == 0) {
    ::dup2(::open(out.c_str(), O_WRONLY | O_CREAT, 0600), STDOUT_FILENO);
    ::dup2(::open(err.c_str(), O_WRONLY | O_CREAT, 0600), STDERR_FILENO);
    if (!fault_point.empty()) {
      ::setenv("SETUN_FAULT_POINT", fault_point.c_str(), 1);
    }
    if (file_size_limit) {
      const struct rlimit limit { *file_size_limit, RLIM_INFINITY };
      ::setrlimit(RLIMIT_FSIZE, &limit);
    }
    ::execv(SETUN_BINARY, argv.data());
    ::_exit(127);
  }
}

Process::~Process() {
  if (id_ > 0) {
    ::kill(id_, SIGKILL);
    ::waitpid(id_, nullptr, 0);
  }
}

void Process::send(int signal) const { REQUIRE(::kill(id_, signal) == 0); }

std::optional<Ended> Process::wait_for(double seconds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  int status = 0;
  while (::waitpid(id_, &status, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() >= end) {
      return std::nullopt;
    }
    usleep(1000);
  }
  id_ = -1;
  return Ended{.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1,
               .signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0,
               .out = read_text(folder_ / "out"),
               .err = read_text(folder_ / "err")};
}

Ended Process::wait() {
  std::optional<Ended> ended = wait_for(60);
  if (!ended) {
    FAIL("the process still runs after 60 seconds; it said: " << err());
  }
  return *ended;
}

TinyRun::TinyRun() {
  write_text(folder_ / "recipe.yaml", kRecipe);
  write_text(text(), tiny_text(30'000));
}

std::vector<std::string> TinyRun::train(const std::string& name,
                                        const std::vector<std::string>& overrides) const {
  std::vector<std::string> arguments = {
      "train", folder_ / "recipe.yaml", "data.text=" + text().string(),
      "data.cache=" + (folder_ / "cache").string(), "run.output=" + run(name).string()};
  arguments.insert(arguments.end(), overrides.begin(), overrides.end());
  return arguments;
}

Ended TinyRun::finish(const std::string& name, const std::vector<std::string>& overrides) const {
  const Ended ended = Process(train(name, overrides)).wait();
  INFO(ended.out << ended.err);
  REQUIRE(ended.exit_code == 0);
  return ended;
}

int64_t count_lines(const fs::path& path) {
  const std::string text = fs::exists(path) ? read_text(path) : "";
  return std::count(text.begin(), text.end(), '\n');
}

// The first file or folder that a killed process left behind, or "".
std::string leftover(const fs::path& run) {
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(run)) {
    const std::string name = entry.path().filename().string();
    if (name.find(".tmp-") != std::string::npos || name.find(".trash-") != std::string::npos) {
      return entry.path().string();
    }
  }
  return "";
}

std::string logged_difference(const fs::path& a, const fs::path& b) {
  if (timeless_metrics(a) != timeless_metrics(b)) {
    return "metrics.jsonl differs:\n" + timeless_metrics(a) + "and\n" + timeless_metrics(b);
  }
  for (const char* file : {"layers.jsonl", "eval.jsonl"}) {
    if (read_text(a / file) != read_text(b / file)) {
      return std::string(file) + " differs";
    }
  }
  if (timeless_csv(a) != timeless_csv(b)) {
    return "metrics.csv differs";
  }
  return timeless_events(a) != timeless_events(b) ? "the event files differ" : "";
}

std::string run_difference(const fs::path& a, const fs::path& b) {
  for (const std::string& file : exact_files()) {
    if (!fs::exists(a / file) || !fs::exists(b / file)) {
      return file + " is missing";
    }
    if (read_text(a / file) != read_text(b / file)) {
      return file + " differs";
    }
  }
  if (const std::string left = leftover(a) + leftover(b); !left.empty()) {
    return "left behind: " + left;
  }
  return logged_difference(a, b);
}

}  // namespace setun::test
