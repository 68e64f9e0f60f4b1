// Records: exact numbers, cut at a step, nothing lost to a torn line or a full disk.
#include "train/metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <bit>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.h"
#include "formats/tensorboard_events.h"
#include "train/helpers.h"
#include "train/record_table.h"
#include "train/signals.h"

namespace setun {
namespace {

using Catch::Matchers::Contains;
using test::StderrCapture;
using test::TempDir;

const MetricsOptions kTensorBoard{.every = 1, .layers_every = 1, .tensorboard = true};

StepRecord step_record(int64_t step) {
  return {.step = step,
          .loss = 1.0 / static_cast<double>(step),
          .lr = 0.1,
          .weight_decay = 0.05,
          .grad_norm = 1e-300,
          .tokens = step * 1000,
          .phase = 1,
          .ramp = 0.75,
          .auxiliary_loss = 0.0125,
          .tokens_per_second = 12345.678,
          .seconds = 0.5 * static_cast<double>(step)};
}

void record_steps(Metrics& metrics, int64_t first, int64_t last) {
  for (int64_t step = first; step <= last; ++step) {
    metrics.step(step_record(step));
    metrics.eval({.step = step, .loss = 2.5, .perplexity = 12.25, .bits_per_byte = 1.5});
    metrics.layers(step, {{.layer = "blocks.0.attn.q", .minus = 0.25, .zero = 0.5, .plus = 0.25},
                          {.layer = "head", .grad_norm = 0.125},
                          {.layer = "blocks.0.ffn.router", .expert_load = 0.75}});
  }
}

std::vector<std::string> lines_of(const fs::path& path) {
  std::istringstream in(test::read_text(path));
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) {
    lines.push_back(line);
  }
  return lines;
}

fs::path event_file(const fs::path& run) {
  REQUIRE(std::distance(fs::directory_iterator(run / "tensorboard"), {}) == 1);
  return fs::directory_iterator(run / "tensorboard")->path();
}

int64_t events_of(const fs::path& run, int64_t step) {
  const std::string bytes = test::read_text(event_file(run));
  int64_t count = 0;
  for (const auto& record : formats::split_events(std::as_bytes(std::span(bytes)))) {
    count += record.step == step ? 1 : 0;
  }
  return count;
}

TEST_CASE("every field of a record stands in JSONL and CSV under its name", "[metrics]") {
  const TempDir run;
  const StderrCapture output;
  {
    Metrics metrics(run.path(), {.every = 1}, 0, 3);
    record_steps(metrics, 1, 3);
  }
  const auto json = nlohmann::json::parse(lines_of(run / "metrics.jsonl").at(2));
  const StepRecord expected = step_record(3);
  CHECK(json.at("step") == 3);
  CHECK(json.at("loss").get<double>() == expected.loss);
  CHECK(json.at("lr").get<double>() == expected.lr);
  CHECK(json.at("weight_decay").get<double>() == expected.weight_decay);
  CHECK(json.at("grad_norm").get<double>() == expected.grad_norm);
  CHECK(json.at("tokens") == 3000);
  CHECK(json.at("phase") == 1);
  CHECK(json.at("ramp").get<double>() == expected.ramp);
  CHECK(json.at("tokens_per_second").get<double>() == expected.tokens_per_second);
  CHECK(json.at("seconds").get<double>() == expected.seconds);
  CHECK(json.at("auxiliary_loss").get<double>() == 0.0125);
  CHECK(json.size() == 11);

  const auto csv = lines_of(run / "metrics.csv");
  REQUIRE(csv.size() == 4);
  CHECK(csv[0] ==
        "step,loss,lr,weight_decay,grad_norm,tokens,phase,ramp,auxiliary_loss,tokens_per_second,"
        "seconds");
  CHECK(csv[3] == "3,0.3333333333333333,0.1,0.05,1e-300,3000,1,0.75,0.0125,12345.678,1.5");
  CHECK(lines_of(run / "eval.csv") ==
        std::vector<std::string>{"step,loss,perplexity,bits_per_byte,accuracy", "1,2.5,12.25,1.5,",
                                 "2,2.5,12.25,1.5,", "3,2.5,12.25,1.5,"});
  CHECK(lines_of(run / "layers.csv").at(2) == "1,head,,,,,,,,0.125,");
  CHECK(lines_of(run / "layers.csv").at(3) == "1,blocks.0.ffn.router,,,,,,,,,0.75");
  const auto layer = nlohmann::json::parse(lines_of(run / "layers.jsonl").at(0));
  CHECK(layer.at("layer") == "blocks.0.attn.q");
  CHECK(layer.at("zero") == 0.5);
  CHECK(layer.at("flip_rate").is_null());
  CHECK_FALSE(fs::exists(run / "tensorboard"));
}

TEST_CASE("numbers read back to the same double", "[metrics]") {
  for (const double value : {1.0 / 3.0, 0.1, 1e-300, 5e-324, 1.7976931348623157e308, -0.0, 2.0}) {
    const std::string text = number_text(value);
    INFO(text);
    const auto back = nlohmann::json::parse(text).get<double>();
    CHECK(std::bit_cast<uint64_t>(back) == std::bit_cast<uint64_t>(value));
  }
}

TEST_CASE("what JSON cannot say is null there and a word in the CSV", "[metrics]") {
  const TempDir run;
  const StderrCapture output;
  {
    Metrics metrics(run.path(), {.every = 1}, 0, 3);
    StepRecord record = step_record(1);
    record.loss = std::numeric_limits<double>::quiet_NaN();
    record.grad_norm = std::numeric_limits<double>::infinity();
    metrics.step(record);
  }
  const auto json = nlohmann::json::parse(lines_of(run / "metrics.jsonl").at(0));
  CHECK(json.at("loss").is_null());
  CHECK(json.at("grad_norm").is_null());
  CHECK_THAT(lines_of(run / "metrics.csv").at(1), Contains("1,nan,") && Contains(",inf,"));
}

TEST_CASE("records are with the operating system as soon as they are made", "[metrics]") {
  const TempDir run;
  const StderrCapture output;
  const int status = test::in_child([&] {
    Metrics metrics(run.path(), kTensorBoard, 0, 3);
    record_steps(metrics, 1, 2);
    ::kill(::getpid(), SIGKILL);
    return 0;
  });
  CHECK(test::killed(status));
  CHECK(lines_of(run / "metrics.jsonl").size() == 2);
  CHECK(lines_of(run / "eval.csv").size() == 3);
  CHECK(lines_of(run / "layers.jsonl").size() == 6);
  CHECK(events_of(run.path(), 2) == 10 + 3 + 5);
}

TEST_CASE("a resumed run writes the same files as one that did not stop", "[metrics]") {
  const TempDir whole, resumed;
  const StderrCapture output;
  {
    Metrics metrics(whole.path(), kTensorBoard, 0, 6);
    record_steps(metrics, 1, 6);
  }
  {
    Metrics metrics(resumed.path(), kTensorBoard, 0, 6);
    record_steps(metrics, 1, 5);  // two steps beyond the checkpoint of step 3
  }
  for (const char* name : {"metrics.jsonl", "metrics.csv", "eval.jsonl", "layers.csv"}) {
    test::write_text(resumed / name,
                     test::read_text(resumed / name) + "{\"step\": 6, \"lo");  // torn
  }
  {
    Metrics metrics(resumed.path(), kTensorBoard, 3, 6);
    CHECK(lines_of(resumed / "metrics.jsonl").size() == 3);
    CHECK(events_of(resumed.path(), 3) == 18);
    CHECK(events_of(resumed.path(), 4) == 0);
    record_steps(metrics, 4, 6);
  }
  for (const char* name :
       {"metrics.jsonl", "metrics.csv", "eval.jsonl", "eval.csv", "layers.jsonl", "layers.csv"}) {
    INFO(name);
    CHECK(test::read_text(resumed / name) == test::read_text(whole / name));
  }
  CHECK(fs::file_size(event_file(resumed.path())) == fs::file_size(event_file(whole.path())));
  for (int64_t step = 1; step <= 6; ++step) {
    CHECK(events_of(resumed.path(), step) == 18);
  }
}

TEST_CASE("event files are cut even when TensorBoard is off for the resumed run", "[metrics]") {
  const TempDir run;
  const StderrCapture output;
  {
    Metrics metrics(run.path(), kTensorBoard, 0, 6);
    record_steps(metrics, 1, 5);
  }
  const Metrics off(run.path(), {.every = 1}, 2, 6);
  CHECK(events_of(run.path(), 2) == 18);
  CHECK(events_of(run.path(), 3) == 0);
}

TEST_CASE("a fresh start drops the records of a run that never saved", "[metrics]") {
  const TempDir run;
  const StderrCapture output;
  {
    Metrics metrics(run.path(), kTensorBoard, 0, 6);
    record_steps(metrics, 1, 2);
  }
  const Metrics fresh(run.path(), kTensorBoard, 0, 6);
  CHECK(test::read_text(run / "metrics.jsonl").empty());
  CHECK(lines_of(run / "metrics.csv").size() == 1);
}

TEST_CASE("lines that are no record are dropped, and a foreign CSV is refused", "[metrics]") {
  const TempDir run;
  const StderrCapture output;
  test::write_text(run / "metrics.jsonl", "{\"step\": 1, \"loss\": 2}\n" + std::string(20, '\0') +
                                              "\n[1]\n{\"step\": 2}\n");
  { const Metrics metrics(run.path(), {.every = 1}, 5, 6); }
  CHECK(test::read_text(run / "metrics.jsonl") == "{\"step\": 1, \"loss\": 2}\n{\"step\": 2}\n");
  test::write_text(run / "metrics.csv", "step,loss\n1,2\n");
  CHECK_THROWS_WITH(Metrics(run.path(), {.every = 1}, 5, 6),
                    Contains("metrics.csv: has the columns step,loss, expected step,loss,lr"));
}

TEST_CASE("records that find no room are written when there is room again", "[metrics]") {
  const TempDir run;
  const StderrCapture output;
  const int status = test::in_child([&] {
    const SignalGuard signals;
    struct rlimit limit {};
    ::getrlimit(RLIMIT_FSIZE, &limit);
    RecordTable table(run.path(), "metrics", {"step", "loss"}, 0);
    const struct rlimit tight { 100, limit.rlim_max };
    ::setrlimit(RLIMIT_FSIZE, &tight);
    for (int64_t step = 1; step <= 50; ++step) {
      table.row({step, 0.5});
      table.flush();
    }
    ::setrlimit(RLIMIT_FSIZE, &limit);
    table.flush();
    return 0;
  });
  CHECK(test::exit_code(status) == 0);
  const auto lines = lines_of(run / "metrics.jsonl");
  REQUIRE(lines.size() == 50);
  CHECK(lines[49] == "{\"step\": 50, \"loss\": 0.5}");
  CHECK(lines_of(run / "metrics.csv").size() == 51);
  // One warning a file, not one a row.
  const std::string warnings = output.text();
  const auto first = warnings.find("metrics.jsonl: cannot be written: File too large");
  REQUIRE(first != std::string::npos);
  CHECK(warnings.find("metrics.jsonl: cannot be written", first + 1) == std::string::npos);
}

}  // namespace
}  // namespace setun
