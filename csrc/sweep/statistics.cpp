#include "sweep/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace setun::sweep {

Moments moments(const std::vector<double>& values) {
  Moments result{.n = static_cast<int64_t>(values.size())};
  if (values.empty()) {
    return result;
  }
  // The mean of the runs that did not diverge would hide that others did.
  if (!std::all_of(values.begin(), values.end(), [](double x) { return std::isfinite(x); })) {
    result.mean = std::numeric_limits<double>::quiet_NaN();
    return result;
  }
  const auto n = static_cast<double>(values.size());
  double sum = 0;
  for (const double x : values) {
    sum += x;
  }
  const double mean = sum / n;
  result.mean = mean;
  if (values.size() >= 2) {
    double squares = 0;
    for (const double x : values) {
      squares += (x - mean) * (x - mean);
    }
    result.deviation = std::sqrt(squares / (n - 1));
  }
  return result;
}

PairedDifference paired_difference(const std::vector<std::pair<double, double>>& pairs) {
  std::vector<double> differences;
  for (const auto& [first, second] : pairs) {
    differences.push_back(first - second);
  }
  const Moments of = moments(differences);
  PairedDifference result{.pairs = of.n, .mean = of.mean};
  if (of.deviation) {
    result.standard_error = *of.deviation / std::sqrt(static_cast<double>(of.n));
    result.held = std::abs(*of.mean) > 2 * *result.standard_error;
  }
  return result;
}

}  // namespace setun::sweep
