// Statistics of a few runs: mean, sample standard deviation, paired difference with its standard
// error. Two passes in double; no distribution is assumed beyond "2 standard errors".
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace setun::sweep {

struct Moments {
  int64_t n = 0;
  std::optional<double> mean;       // absent with n = 0; nan when any value is not finite
  std::optional<double> deviation;  // sqrt(sum (x - mean)^2 / (n - 1)); absent below two values
};
Moments moments(const std::vector<double>& values);

struct PairedDifference {
  int64_t pairs = 0;
  std::optional<double> mean;            // of first - second; nan when any value is not finite
  std::optional<double> standard_error;  // sample deviation / sqrt(pairs); absent below two pairs
  std::optional<bool> held;              // |mean| > 2 standard errors; absent without that error
};
PairedDifference paired_difference(const std::vector<std::pair<double, double>>& pairs);

}  // namespace setun::sweep
