// A point of a run given as a step (375) or as a fraction of the run's steps (0.5). Written in YAML
// as one number: a value with a decimal point in [0, 1] is a fraction, an integer is a step.
#pragma once

#include <cmath>
#include <cstdint>

namespace setun {

struct StepPoint {
  double value = 0;
  bool is_fraction = false;

  static constexpr StepPoint steps(int64_t n) { return {static_cast<double>(n), false}; }
  static constexpr StepPoint fraction(double f) { return {f, true}; }
  // The step it names in a run of `total` steps (a fraction is rounded to the nearest step).
  int64_t resolve(int64_t total) const {
    return is_fraction ? std::llround(value * static_cast<double>(total)) : std::llround(value);
  }
  bool operator==(const StepPoint&) const = default;
};

}  // namespace setun
