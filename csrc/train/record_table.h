// One table of records in two files, <name>.jsonl and <name>.csv, append-only and keyed by step
// (always the first column). Numbers are printed with the fewest digits that read back to the same
// double; what JSON cannot say (nan, inf) and absent values are null there; in the CSV absent is an
// empty cell. Torch-free.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/output_file.h"

namespace setun {

using Cell = std::variant<std::monostate, int64_t, double, std::string>;

class RecordTable {
 public:
  // Opens both files for appending after dropping rows with a step beyond `last_step` and a torn
  // last line. Throws Error when an existing CSV has other columns.
  RecordTable(const fs::path& folder, const std::string& name, std::vector<std::string> columns,
              int64_t last_step);
  // One row; text cells hold names of Setun's own (no commas or quotes). The step is the first
  // cell.
  void row(const std::vector<Cell>& cells);
  void flush();

 private:
  std::vector<std::string> columns_;
  LogFile jsonl_;
  LogFile csv_;
};

std::string number_text(double value);  // shortest round-trip; "nan", "inf"

}  // namespace setun
