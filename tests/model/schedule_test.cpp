// optim/schedule.h: the values papers print, and the step convention.
#include "optim/schedule.h"

#include "support/catch.h"

namespace setun {
namespace {

ScheduleOptions make(ScheduleKind kind, int64_t warmup, double end_ratio) {
  return {.kind = kind, .warmup = StepPoint::steps(warmup), .end_lr_ratio = end_ratio};
}

TEST_CASE("two_stage takes the values of the BitNet FAQ figure") {
  ScheduleOptions schedule = make(ScheduleKind::kTwoStage, 375, 3e-5 / 1.5e-3);
  const std::pair<double, double> expected[] = {
      {100, 4.0e-4},        {375, 1.5e-3},        {25000, 1.136650e-3}, {49999, 7.677814e-4},
      {50000, 5.168256e-4}, {75000, 2.734128e-4}, {100000, 3e-5}};
  for (const auto& [t, lr] : expected) {
    CHECK(schedule_line(schedule, 1.5e-3, t, 100000) == Approx(lr).epsilon(1e-6));
  }
}

TEST_CASE("two_stage with cosine lines keeps the endpoints and the jump") {
  ScheduleOptions schedule = make(ScheduleKind::kTwoStage, 10, 0.1);
  schedule.shape = LineShape::kCosine;
  CHECK(schedule_line(schedule, 1.0, 10, 100) == Approx(1.0));
  CHECK(schedule_line(schedule, 1.0, 100, 100) == Approx(0.1));
  const double p = 39.0 / 90, first = 0.1 + 0.9 * 0.5 * (1 + std::cos(M_PI * p));
  CHECK(schedule_line(schedule, 1.0, 49, 100) == Approx(first));
  CHECK(schedule_line(schedule, 1.0, 50, 100) < 0.7 * first);
}

TEST_CASE("optimizer step n uses t = n + 1") {
  const ScheduleOptions schedule = make(ScheduleKind::kLinear, 4, 0.1);
  const OptimOptions optim{.lr = 1.0};
  CHECK(schedule_at(schedule, optim, 0, 20).lr == Approx(0.25));
  CHECK(schedule_at(schedule, optim, 3, 20).lr == Approx(1.0));
  CHECK(schedule_at(schedule, optim, 19, 20).lr == Approx(0.1));
}

TEST_CASE("weight decay falls with the second stage and only there") {
  ScheduleOptions schedule = make(ScheduleKind::kTwoStage, 2, 0);
  schedule.stage2_weight_decay = 0.01;
  const OptimOptions optim{.weight_decay = 0.2};
  CHECK(schedule_at(schedule, optim, 8, 20).weight_decay == 0.2);
  CHECK(schedule_at(schedule, optim, 9, 20).weight_decay == 0.01);
  schedule.kind = ScheduleKind::kCosine;
  CHECK(schedule_at(schedule, optim, 9, 20).weight_decay == 0.2);
}

TEST_CASE("every kind of schedule takes its formula's value after warm-up") {
  const auto at = [](ScheduleOptions schedule, double t) {
    return schedule_line(schedule, 2.0, t, 110);
  };
  // p = 0.75 at t = 85 with 10 steps of warm-up; the end value is 0.2.
  CHECK(at(make(ScheduleKind::kConstant, 10, 0.1), 85) == 2.0);
  CHECK(at(make(ScheduleKind::kLinear, 10, 0.1), 85) == Approx(0.2 + 1.8 * 0.25));
  CHECK(at(make(ScheduleKind::kCosine, 10, 0.1), 85) ==
        Approx(0.2 + 0.9 * (1 + std::cos(M_PI * 0.75))));
  ScheduleOptions polynomial = make(ScheduleKind::kPolynomial, 10, 0.1);
  polynomial.power = 2;
  CHECK(at(polynomial, 85) == Approx(0.2 + 1.8 * 0.0625));
  ScheduleOptions wsd = make(ScheduleKind::kWsd, 10, 0.1);
  wsd.decay = StepPoint::steps(40);
  CHECK(at(wsd, 70) == 2.0);
  CHECK(at(wsd, 80) == Approx(0.2 + 1.8 * 0.75));
  CHECK(at(wsd, 110) == Approx(0.2));
}

TEST_CASE("warm-up rises from zero in every kind, and none means the peak at once") {
  for (const auto& [kind, name] : EnumNames<ScheduleKind>::table) {
    INFO(name);
    CHECK(schedule_line(make(kind, 8, 0.1), 3.0, 2, 100) == Approx(0.75));
    CHECK(schedule_line(make(kind, 0, 0.1), 3.0, 0, 100) == 3.0);
  }
}

TEST_CASE("a fraction of the run and the step it names give the same schedule") {
  ScheduleOptions fractions = make(ScheduleKind::kTwoStage, 5, 0.1);
  ScheduleOptions steps = fractions;
  fractions.warmup = StepPoint::fraction(0.05);
  fractions.switch_at = StepPoint::fraction(0.4);
  steps.switch_at = StepPoint::steps(40);
  for (int64_t step = 0; step < 100; ++step) {
    CHECK(schedule_at(fractions, {}, step, 100).lr == schedule_at(steps, {}, step, 100).lr);
  }
}

}  // namespace
}  // namespace setun
