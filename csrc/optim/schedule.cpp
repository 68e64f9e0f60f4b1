// lr(t) = peak * t / W for t < W (warm-up of W steps); after it p = (t - W) / (T - W) in [0, 1]
// and, with e = end_lr_ratio * peak:
//   constant    peak
//   linear      e + (peak - e) (1 - p)
//   cosine      e + (peak - e) (1 + cos(pi p)) / 2
//   polynomial  e + (peak - e) (1 - p)^power
//   wsd         peak, then a line from peak at T - decay to e at T (MiniCPM, 2404.06395, with a
//   linear tail) two_stage   the linear or cosine line from `peak` for t < switch_at, from
//   stage2_lr_ratio * peak from there on; BOTH lines
//               run over the whole run and end in e (BitNet FAQ fig. 1; methods: jump, not
//               restart), warm-up included
// Deliberately absent: restarts and per-group schedules (groups scale the value).
#include "optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace setun {
namespace {

// How far the run is between the end of warm-up (0) and its last step (1).
double progress(double t, double warmup, double total) {
  return total > warmup ? std::clamp((t - warmup) / (total - warmup), 0.0, 1.0) : 0.0;
}

double between(double start, double end, double remaining) {
  return end + (start - end) * remaining;
}

double cosine(double p) { return 0.5 * (1 + std::cos(std::numbers::pi * p)); }

bool in_second_stage(const ScheduleOptions& schedule, double t, double total) {
  return schedule.kind == ScheduleKind::kTwoStage &&
         t >= static_cast<double>(schedule.switch_at.resolve(std::llround(total)));
}

// Share of the decay still to come after warm-up, 1 at its start and 0 at the end.
double remaining(const ScheduleOptions& schedule, double t, double warmup, double total) {
  const double p = progress(t, warmup, total);
  switch (schedule.kind) {
    case ScheduleKind::kConstant:
      return 1;
    case ScheduleKind::kLinear:
      return 1 - p;
    case ScheduleKind::kCosine:
      return cosine(p);
    case ScheduleKind::kPolynomial:
      return std::pow(1 - p, schedule.power);
    case ScheduleKind::kWsd: {
      const auto decay = static_cast<double>(schedule.decay.resolve(std::llround(total)));
      return 1 - progress(t, std::max(warmup, total - decay), total);
    }
    case ScheduleKind::kTwoStage:
      return schedule.shape == LineShape::kLinear ? 1 - p : cosine(p);
  }
  return 1;
}

}  // namespace

double schedule_line(const ScheduleOptions& schedule, double peak, double t, double total) {
  const double top = in_second_stage(schedule, t, total) ? schedule.stage2_lr_ratio * peak : peak;
  const auto warmup = static_cast<double>(schedule.warmup.resolve(std::llround(total)));
  if (t < warmup) {
    return top * t / warmup;
  }
  return between(top, schedule.end_lr_ratio * peak, remaining(schedule, t, warmup, total));
}

ScheduleValues schedule_at(const ScheduleOptions& schedule, const OptimOptions& optim, int64_t step,
                           int64_t total) {
  const auto t = static_cast<double>(step + 1);
  const auto end = static_cast<double>(total);
  return {.lr = schedule_line(schedule, optim.lr, t, end),
          .weight_decay = in_second_stage(schedule, t, end) ? schedule.stage2_weight_decay
                                                            : optim.weight_decay};
}

}  // namespace setun
