#include "train/record_table.h"

#include <array>
#include <charconv>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "base/text.h"

namespace setun {
namespace {

std::optional<int64_t> json_step(const std::string& line) {
  const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("step") || !json["step"].is_number_integer()) {
    return std::nullopt;
  }
  return json["step"].get<int64_t>();
}

std::optional<int64_t> csv_step(const std::string& line) {
  int64_t step = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), step);
  const bool whole = error == std::errc() && end != line.data() + line.size() && *end == ',';
  return whole ? std::optional(step) : std::nullopt;
}

// Rewrites the file atomically with `header` (when it is not empty) and the whole lines whose step
// is at most last_step. The last line is torn when it has no line end.
fs::path cut_lines(const fs::path& path, const std::string& header, int64_t last_step,
                   std::optional<int64_t> (*step_of)(const std::string&)) {
  const std::string before = fs::exists(path) ? read_file(path) : "";
  std::string kept = header;
  bool first = true;
  for (std::size_t at = 0, end = 0; (end = before.find('\n', at)) != std::string::npos;
       at = end + 1) {
    const std::string line = before.substr(at, end - at);
    if (first && !header.empty()) {
      SETUN_CHECK(line + "\n" == header, path.string(), ": has the columns ", line, ", expected ",
                  header, "move the file away to go on without its records");
    } else if (const std::optional<int64_t> step = step_of(line); step && *step <= last_step) {
      kept += line + "\n";
    }
    first = false;
  }
  if (kept != before) {
    write_file_atomic(path, kept);
  }
  return path;
}

std::string json_cell(const Cell& cell) {
  if (const auto* integer = std::get_if<int64_t>(&cell)) {
    return std::to_string(*integer);
  }
  if (const auto* number = std::get_if<double>(&cell)) {
    return std::isfinite(*number) ? number_text(*number) : "null";
  }
  if (const auto* text = std::get_if<std::string>(&cell)) {
    return nlohmann::json(*text).dump();
  }
  return "null";
}

std::string csv_cell(const Cell& cell) {
  if (const auto* integer = std::get_if<int64_t>(&cell)) {
    return std::to_string(*integer);
  }
  if (const auto* number = std::get_if<double>(&cell)) {
    return number_text(*number);
  }
  if (const auto* text = std::get_if<std::string>(&cell)) {
    return *text;
  }
  return "";
}

}  // namespace

std::string number_text(double value) {
  if (value == 0 && std::signbit(value)) {
    return "-0.0";  // JSON readers take "-0" for an integer and drop its sign
  }
  std::array<char, 32> text{};
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value);
  SETUN_ASSERT(error == std::errc());
  return {text.data(), end};
}

RecordTable::RecordTable(const fs::path& folder, const std::string& name,
                         std::vector<std::string> columns, int64_t last_step)
    : columns_(std::move(columns)),
      jsonl_(cut_lines(folder / (name + ".jsonl"), "", last_step, json_step)),
      csv_(cut_lines(folder / (name + ".csv"), join(columns_, ",") + "\n", last_step, csv_step)) {}

void RecordTable::row(const std::vector<Cell>& cells) {
  SETUN_ASSERT(cells.size() == columns_.size());
  std::string json = "{";
  std::string csv;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    json += (i == 0 ? "\"" : ", \"") + columns_[i] + "\": " + json_cell(cells[i]);
    csv += (i == 0 ? "" : ",") + csv_cell(cells[i]);
  }
  jsonl_.append(json + "}\n");
  csv_.append(csv + "\n");
}

void RecordTable::flush() {
  jsonl_.flush();
  csv_.flush();
}

}  // namespace setun
