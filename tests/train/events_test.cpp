// TensorBoard event files: frames as TFRecord has them, cut at a step, torn and corrupt ends
// dropped. That the real TensorBoard reads them is tested in tests/python/test_tensorboard.py.
#include "formats/tensorboard_events.h"

#include <cstring>

#include "support/catch.h"

namespace setun::formats {
namespace {

using test::TempDir;

std::vector<int64_t> steps_of(const std::string& bytes) {
  std::vector<int64_t> steps;
  for (const EventRecord& record : split_events(std::as_bytes(std::span(bytes)))) {
    steps.push_back(record.step);
  }
  return steps;
}

std::string write_steps(const fs::path& path, const std::vector<int64_t>& steps) {
  EventWriter writer(path);
  for (const int64_t step : steps) {
    writer.scalar("train/loss", 0.5, step, 1700000000.25);
  }
  writer.flush();
  return test::read_text(path);
}

TEST_CASE("an event frame has the bytes of the format", "[events]") {
  const TempDir folder;
  const std::string bytes = write_steps(folder / "e", {300});
  const auto records = split_events(std::as_bytes(std::span(bytes)));
  REQUIRE(records.size() == 2);
  // Event{wall_time 1: double, step 2: 300, summary 5: {value 1: {tag 1, simple_value 2: 0.5}}}, by
  // hand.
  std::string expected("\x18\0\0\0\0\0\0\0", 8);
  const double wall = 1700000000.25;
  std::string payload = "\x09";
  payload.append(reinterpret_cast<const char*>(&wall), 8);
  payload += std::string("\x10\xAC\x02", 3);             // step
  payload += std::string("\x2A\x13\x0A\x11", 4);         // summary of 19 bytes, value of 17
  payload += std::string("\x0A\x0A", 2) + "train/loss";  // tag
  payload += std::string("\x15\0\0\0\x3F", 5);           // 0.5F
  const std::string_view frame(reinterpret_cast<const char*>(records[1].frame.data()),
                               records[1].frame.size());
  CHECK(static_cast<std::size_t>(frame[0]) == payload.size());
  CHECK(frame.substr(12, payload.size()) == payload);
  CHECK(bytes.find("brain.Event:2") != std::string::npos);
}

TEST_CASE("appending to an event file writes the version record once", "[events]") {
  const TempDir folder;
  write_steps(folder / "e", {1, 2});
  CHECK(steps_of(write_steps(folder / "e", {3})) == std::vector<int64_t>{0, 1, 2, 3});
}

TEST_CASE("cutting keeps the records up to a step and the file appendable", "[events]") {
  const TempDir folder;
  write_steps(folder / "e", {10, 20, 30, 1LL << 40});
  cut_events(folder / "e", 20);
  CHECK(steps_of(test::read_text(folder / "e")) == std::vector<int64_t>{0, 10, 20});
  CHECK(steps_of(write_steps(folder / "e", {30})) == std::vector<int64_t>{0, 10, 20, 30});
}

TEST_CASE("a torn end is dropped at every length", "[events]") {
  const TempDir folder;
  const std::string whole = write_steps(folder / "e", {1, 2, 3});
  const auto records = split_events(std::as_bytes(std::span(whole)));
  REQUIRE(records.size() == 4);
  std::size_t ends[5] = {};
  for (std::size_t i = 0; i < 4; ++i) {
    ends[i + 1] = ends[i] + records[i].frame.size();
  }
  for (std::size_t length = 0; length <= whole.size(); ++length) {
    std::size_t expected = 0;
    while (expected < 4 && ends[expected + 1] <= length) {
      ++expected;
    }
    CHECK(steps_of(whole.substr(0, length)).size() == expected);
  }
}

TEST_CASE("a flipped bit ends the file before its record", "[events]") {
  const TempDir folder;
  const std::string whole = write_steps(folder / "e", {1, 2});
  const std::size_t first = split_events(std::as_bytes(std::span(whole)))[0].frame.size();
  for (std::size_t at = 0; at < whole.size() * 8; ++at) {
    std::string damaged = whole;
    damaged[at / 8] = static_cast<char>(damaged[at / 8] ^ 1 << at % 8);
    INFO("bit " << at);
    CHECK(steps_of(damaged).size() < (at / 8 < first ? 1U : 3U));
  }
}

}  // namespace
}  // namespace setun::formats
