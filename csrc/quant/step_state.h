// The state of one optimizer step as plain numbers, passed to forward: no component keeps a hidden
// mode.
#pragma once

#include <cstdint>

namespace setun {

struct StepState {
  int64_t step = 0;   // 0-based index of the optimizer step being computed
  int64_t phase = 0;  // index into QuantPlan::phases
  double ramp = 1.0;  // lambda of the phase's ramp, in (0, 1]
  double lr = 0;
  double weight_decay = 0;
  uint64_t rng_key = 0;  // key of this step's stochastic draws: a function of (seed, step)
  bool operator==(const StepState&) const = default;
};

}  // namespace setun
