// two_stage, warmup_decay, activation_phase. The vectors give lr(t); the optimizer step that uses
// it is t - 1.
#include "golden/golden.h"
#include "optim/schedule.h"
#include "quant/quant_plan.h"

namespace setun::golden {
namespace {

Json line(const Arguments& arguments, const ScheduleOptions& schedule, const OptimOptions& optim) {
  const int64_t total = arguments.integer("total");
  Json lr = Json::array(), weight_decay = Json::array();
  for (const Json& t : arguments.json("steps")) {
    const ScheduleValues values = schedule_at(schedule, optim, t.get<int64_t>() - 1, total);
    lr.push_back(values.lr);
    weight_decay.push_back(values.weight_decay);
  }
  return {{"lr", lr}, {"wd", weight_decay}};
}

Json two_stage(const Arguments& arguments) {
  const double peak = arguments.number("peak1");
  return line(arguments,
              {.kind = ScheduleKind::kTwoStage,
               .warmup = StepPoint::steps(arguments.integer("warmup")),
               .end_lr_ratio = arguments.number("lr_end") / peak,
               .switch_at =
                   StepPoint::steps(arguments.integer_or("switch", arguments.integer("total") / 2)),
               .stage2_lr_ratio = arguments.number("peak2") / peak,
               .shape = *parse_enum<LineShape>(arguments.text_or("shape", "linear"))},
              {.lr = peak, .weight_decay = arguments.number("weight_decay")});
}

Json warmup_decay(const Arguments& arguments) {
  const double peak = arguments.number("peak");
  return line(arguments,
              {.kind = *parse_enum<ScheduleKind>(arguments.text_or("shape", "")),
               .warmup = StepPoint::steps(arguments.integer("warmup")),
               .end_lr_ratio = arguments.number("lr_end") / peak,
               .power = arguments.number_or("power", 1)},
              {.lr = peak});
}

// The 8-bit to 4-bit recipe of BitNet a4.8 and v2 as phases of the quant section.
Json activation_phase(const Arguments& arguments) {
  QuantOptions options;
  options.base.activation.scheme = ActivationScheme::kAbsmax;
  LayerPatch patch{.match = "*"};
  patch.set.activation.bits = 4;
  options.phases = {
      {.at = StepPoint::fraction(arguments.number_or("fraction", 0.95)), .layers = {patch}}};
  Errors errors;
  const QuantPlan plan = resolve_quant_plan(options, {{"blocks.0.attn.q", Role::kQkv, 0, 4, 4}},
                                            arguments.integer("total"), errors);
  SETUN_CHECK(errors.empty(), "the plan has errors");
  Json bits = Json::array();
  for (const Json& step : arguments.json("steps")) {
    bits.push_back(plan.phases[plan.phase_at(step.get<int64_t>())].specs[0].activation.bits);
  }
  return {{"bits", bits}};
}

}  // namespace

void add_schedule_adapters(Adapters& adapters) {
  adapters["two_stage"] = two_stage;
  adapters["warmup_decay"] = warmup_decay;
  adapters["activation_phase"] = activation_phase;
}

}  // namespace setun::golden
