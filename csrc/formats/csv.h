// A table of numbers in CSV text: equal rows, commas, optional header line, no quoting. Every
// mistake is reported with file, line and column.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace setun::formats {

struct NumberTable {
  int64_t rows = 0;
  int64_t columns = 0;
  std::vector<double> values;  // row after row, all finite
  double at(int64_t row, int64_t column) const {
    return values[static_cast<std::size_t>(row * columns + column)];
  }
};

// `name` stands in messages; lines count from 1, the header included. Empty lines are skipped.
// Throws Error on a row of another length, a cell that is no finite number, or no row at all.
NumberTable parse_csv(std::string_view text, bool header, std::string_view name);

}  // namespace setun::formats
