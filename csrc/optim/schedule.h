// Learning rate and weight decay as pure functions of the step. Torch-free. Formulas per kind:
// schedule.cpp.
#pragma once

#include "optim/optim_options.h"

namespace setun {

struct ScheduleValues {
  double lr = 0;
  double weight_decay = 0;
};

// Values used by optimizer step `step` (0-based) of a run of `total` steps: lr(t) of the formulas
// with t = step + 1, so the first step is not wasted at lr 0 and the last one uses the end value.
ScheduleValues schedule_at(const ScheduleOptions& schedule, const OptimOptions& optim, int64_t step,
                           int64_t total);

// lr(t) itself, t in [0, total]: what papers print and golden vectors test.
double schedule_line(const ScheduleOptions& schedule, double peak, double t, double total);

}  // namespace setun
