#include "optim/optim_options.h"

namespace setun {
namespace {

void check_not_negative(Errors& errors, const std::string& key, double value) {
  if (!(value >= 0)) {
    errors.add(key, "must be 0 or more, got ", value);
  }
}

void check_beta(Errors& errors, const char* key, double value) {
  if (!(value >= 0 && value < 1)) {
    errors.add(key, "must be in [0, 1), got ", value);
  }
}

}  // namespace

void OptimOptions::validate(Errors& errors) const {
  if (!(lr > 0 && lr <= 10)) {
    errors.add("lr", "must be in (0, 10], got ", lr);
  }
  check_beta(errors, "beta1", beta1);
  check_beta(errors, "beta2", beta2);
  if (!(eps > 0)) {
    errors.add("eps", "must be greater than 0, got ", eps);
  }
  check_not_negative(errors, "weight_decay", weight_decay);
  check_not_negative(errors, "clip_norm", clip_norm);
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const std::string key = "groups[" + std::to_string(i) + "]";
    if (groups[i].match.empty()) {
      errors.add(key + ".match", "is missing: 1d, embed, a role, or a parameter name with '*'");
    }
    check_not_negative(errors, key + ".lr_scale", groups[i].lr_scale);
    check_not_negative(errors, key + ".weight_decay", groups[i].weight_decay.value_or(0));
  }
}

void ScheduleOptions::validate(Errors& errors) const {
  if (!(end_lr_ratio >= 0 && end_lr_ratio <= 1)) {
    errors.add("end_lr_ratio", "must be in [0, 1], got ", end_lr_ratio);
  }
  if (!(power > 0)) {
    errors.add("power", "must be greater than 0, got ", power);
  }
  if (!(stage2_lr_ratio > 0)) {
    errors.add("stage2_lr_ratio", "must be greater than 0, got ", stage2_lr_ratio);
  }
  check_not_negative(errors, "stage2_weight_decay", stage2_weight_decay);
}

}  // namespace setun
