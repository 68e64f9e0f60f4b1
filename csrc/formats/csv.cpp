#include "formats/csv.h"

#include <charconv>
#include <cmath>
#include <string>

#include "base/error.h"

namespace setun::formats {
namespace {

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r");
  return first == std::string_view::npos
             ? std::string_view{}
             : text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

// A cell as a message shows it: hostile files have long ones, and bytes that no terminal likes.
std::string shown(std::string_view cell) {
  std::string out;
  for (const char c : cell.substr(0, 40)) {
    out += c >= 0x20 && c < 0x7F ? c : '?';
  }
  return "\"" + out + (cell.size() > 40 ? "...\"" : "\"");
}

// Appends the cells of one line; returns how many there were.
int64_t parse_line(std::string_view line, const std::string& place, std::vector<double>& values) {
  int64_t column = 0;
  for (std::size_t at = 0; at <= line.size(); ++column) {
    const std::size_t end = std::min(line.find(',', at), line.size());
    const std::string_view cell = trimmed(line.substr(at, end - at));
    double value = 0;
    const auto [rest, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
    SETUN_CHECK(error == std::errc() && rest == cell.data() + cell.size() && std::isfinite(value),
                place, ": column ", column + 1, ": expected a finite number, got ", shown(cell));
    values.push_back(value);
    at = end + 1;
  }
  return column;
}

}  // namespace

NumberTable parse_csv(std::string_view text, bool header, std::string_view name) {
  NumberTable table;
  int64_t number = 0;
  bool skip = header;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = trimmed(text.substr(at, end - at));
    at = end + 1;
    ++number;
    if (line.empty()) {
      continue;
    }
    if (skip) {
      skip = false;
      continue;
    }
    const std::string place = str(name, ":", number);
    const int64_t columns = parse_line(line, place, table.values);
    SETUN_CHECK(table.rows == 0 || columns == table.columns, place, ": has ", columns,
                " columns, the rows before it have ", table.columns);
    table.columns = columns;
    ++table.rows;
  }
  SETUN_CHECK(table.rows > 0, name, ": holds no row of numbers");
  return table;
}

}  // namespace setun::formats
