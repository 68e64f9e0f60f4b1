// The `optim` section (AdamW, clipping, parameter groups) and the `schedule` section (learning
// rate, weight decay).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/enum_names.h"
#include "base/error.h"
#include "base/step_point.h"

namespace setun {

// First match wins. match: a parameter name with '*' ("*.weight", "blocks.*.attn.*"), "1d" (every
// vector: gains, biases), "embed", or a role name (qkv, o, ..., classifier). A group that matches
// no parameter is an error.
struct ParamGroupOptions {
  std::string match;
  double lr_scale = 1.0;
  std::optional<double> weight_decay;  // absent: the schedule's weight decay; a number: constant
  bool operator==(const ParamGroupOptions&) const = default;
};

struct OptimOptions {
  double lr = 1e-3;  // peak of the schedule (of its first line, for two_stage)
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double weight_decay = 0.1;  // decoupled (AdamW)
  double clip_norm = 1.0;     // global L2 norm of all gradients; 0: no clipping
  // Vectors (gains) do not decay unless a group says otherwise.
  std::vector<ParamGroupOptions> groups = {{.match = "1d", .lr_scale = 1.0, .weight_decay = 0.0}};

  bool operator==(const OptimOptions&) const = default;
  void validate(Errors& errors) const;
};

enum class ScheduleKind { kConstant, kLinear, kCosine, kPolynomial, kWsd, kTwoStage };
enum class LineShape { kLinear, kCosine };

template <>
struct EnumNames<ScheduleKind> {
  static constexpr auto table = enum_table<ScheduleKind>({{ScheduleKind::kConstant, "constant"},
                                                          {ScheduleKind::kLinear, "linear"},
                                                          {ScheduleKind::kCosine, "cosine"},
                                                          {ScheduleKind::kPolynomial, "polynomial"},
                                                          {ScheduleKind::kWsd, "wsd"},
                                                          {ScheduleKind::kTwoStage, "two_stage"}});
};
template <>
struct EnumNames<LineShape> {
  static constexpr auto table =
      enum_table<LineShape>({{LineShape::kLinear, "linear"}, {LineShape::kCosine, "cosine"}});
};

struct ScheduleOptions {
  ScheduleKind kind = ScheduleKind::kCosine;
  StepPoint warmup =
      StepPoint::fraction(0.02);  // linear rise from 0; step t has lr peak * t / warmup
  double end_lr_ratio = 0.1;      // lr at the last step / peak
  double power = 1.0;             // polynomial
  StepPoint decay = StepPoint::fraction(0.2);  // wsd: length of the final decay
  // two_stage (BitNet FAQ fig. 1; methods-bitnet 2.4): two lines over the WHOLE run, from their own
  // peaks; the run jumps from the first to the second at switch, where weight decay also falls to
  // stage2_weight_decay.
  StepPoint switch_at = StepPoint::fraction(0.5);
  double stage2_lr_ratio = 2.0 / 3.0;  // second peak / first peak
  double stage2_weight_decay = 0.0;
  LineShape shape = LineShape::kLinear;

  bool operator==(const ScheduleOptions&) const = default;
  void validate(Errors& errors) const;
};

}  // namespace setun
