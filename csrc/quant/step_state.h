// The state of one optimizer step as plain numbers, passed to forward: no component keeps a hidden
// mode.
#pragma once

#include <cstdint>

#include "base/counter_rng.h"

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

// The key of a step's stochastic draws, and of one layer's.
inline uint64_t step_key(uint64_t seed, int64_t step) {
  return random_bits(seed * 0x9E3779B97F4A7C15ULL, static_cast<uint64_t>(step));
}
inline uint64_t draws_key(const StepState& state, int64_t layer) {
  return random_bits(state.rng_key, static_cast<uint64_t>(layer));
}

}  // namespace setun
