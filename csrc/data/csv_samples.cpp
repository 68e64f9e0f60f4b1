// A CSV table as samples: one column is the class, the others are the features.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/files.h"
#include "data/samples.h"
#include "formats/csv.h"
#include "formats/gzip.h"

namespace setun {
namespace {

constexpr double kMostClasses = 1e6;

struct Table {
  int64_t features = 0;
  std::vector<double> values;  // [count, features]
  std::vector<int64_t> labels;
};

Table read_table(const std::string& path, const CsvOptions& options) {
  const formats::NumberTable numbers =
      formats::parse_csv(formats::gunzip(read_file(path), path), options.header, path);
  SETUN_CHECK(numbers.columns >= 2, path, ": has ", numbers.columns,
              " column; expected features and a class, separated by commas");
  SETUN_CHECK(options.label < numbers.columns, path, ": has ", numbers.columns,
              " columns, so data.csv.label must be -1 (the last) to ", numbers.columns - 1,
              ", got ", options.label);
  const int64_t label = options.label < 0 ? numbers.columns - 1 : options.label;
  Table table;
  table.features = numbers.columns - 1;
  for (int64_t row = 0; row < numbers.rows; ++row) {
    const double value = numbers.at(row, label);
    SETUN_CHECK(value >= 0 && value < kMostClasses && value == std::floor(value), path, ": row ",
                row + 1, ", column ", label + 1,
                ": expected a class, a whole number from 0 on, got ", value,
                "; data.csv.label names the column");
    table.labels.push_back(static_cast<int64_t>(value));
    for (int64_t column = 0; column < numbers.columns; ++column) {
      if (column != label) {
        table.values.push_back(numbers.at(row, column));
      }
    }
  }
  return table;
}

// x -> (x - shift) * factor, by column.
struct ColumnScaling {
  double shift = 0, factor = 1;
};

ColumnScaling scaling_of(const Table& table, const std::vector<int64_t>& rows, int64_t column,
                         Scaling scaling) {
  double largest = 0, sum = 0, squares = 0;
  const auto value = [&](int64_t row) {
    return table.values[static_cast<std::size_t>(row * table.features + column)];
  };
  for (const int64_t row : rows) {
    largest = std::max(largest, std::abs(value(row)));
    sum += value(row);
  }
  const double count = static_cast<double>(rows.size()), mean = sum / count;
  for (const int64_t row : rows) {
    squares += (value(row) - mean) * (value(row) - mean);
  }
  const double deviation = std::sqrt(squares / count);
  switch (scaling) {
    case Scaling::kNone:
      return {};
    case Scaling::kMax:
      return {.shift = 0, .factor = largest > 0 ? 1 / largest : 1};
    case Scaling::kStandard:
      return {.shift = mean, .factor = deviation > 0 ? 1 / deviation : 1};
  }
  return {};
}

Samples take(const Table& table, const std::vector<int64_t>& rows,
             const std::vector<ColumnScaling>& scaling) {
  Samples samples;
  samples.features = table.features;
  for (const int64_t row : rows) {
    samples.labels.push_back(table.labels[static_cast<std::size_t>(row)]);
    for (int64_t column = 0; column < table.features; ++column) {
      const double value = table.values[static_cast<std::size_t>(row * table.features + column)];
      const ColumnScaling& s = scaling[static_cast<std::size_t>(column)];
      samples.values.push_back(static_cast<float>((value - s.shift) * s.factor));
    }
  }
  return samples;
}

// Appends further files of the same shape.
void append(Table& table, const Table& more, const std::string& path) {
  SETUN_CHECK(more.features == table.features, path, ": has ", more.features,
              " features, the training file has ", table.features);
  table.values.insert(table.values.end(), more.values.begin(), more.values.end());
  table.labels.insert(table.labels.end(), more.labels.begin(), more.labels.end());
}

}  // namespace

SampleData csv_samples(const DataOptions& options) {
  Table table = read_table(options.csv.file, options.csv);
  const auto given = static_cast<int64_t>(table.labels.size());
  for (const std::string& path : options.validation) {
    append(table, read_table(path, options.csv), path);
  }
  const auto count = static_cast<int64_t>(table.labels.size());
  const Split split =
      options.validation.empty()
          ? split_samples(count, options.validation_fraction, static_cast<uint64_t>(options.seed))
          : given_split(given, count);
  std::vector<ColumnScaling> scaling;
  for (int64_t column = 0; column < table.features; ++column) {
    scaling.push_back(scaling_of(table, split.train, column, options.csv.scaling));
  }
  SampleData data{.train = take(table, split.train, scaling),
                  .validation = take(table, split.validation, scaling)};
  const int64_t last = *std::max_element(table.labels.begin(), table.labels.end());
  for (int64_t label = 0; label <= last; ++label) {
    data.classes.push_back(std::to_string(label));
  }
  return data;
}

}  // namespace setun
