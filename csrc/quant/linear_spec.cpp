#include "quant/linear_spec.h"

namespace setun {

void WeightQuantSpec::validate(Errors& errors) const {
  if (granularity == Granularity::kToken) {
    errors.add("granularity", "token is for activations; a weight has tensor, row or group");
  }
  if (granularity == Granularity::kGroup && group_size < 1) {
    errors.add("group_size", "granularity group needs a group_size of at least 1, e.g. 128");
  }
  if (granularity != Granularity::kGroup && group_size != 0) {
    errors.add("group_size", "is ", group_size, ", but granularity is ", enum_name(granularity),
               "; set granularity: group or remove group_size");
  }
  if (!(eps > 0)) {
    errors.add("eps", "must be greater than 0, got ", eps);
  }
}

void ActivationQuantSpec::validate(Errors& errors) const {
  if (granularity != Granularity::kToken) {
    errors.add("granularity", "must be token, got ", enum_name(granularity));
  }
  if (bits < 2 || bits > 8) {
    errors.add("bits", "must be 2 to 8, got ", bits);
  }
  if (!(eps > 0)) {
    errors.add("eps", "must be greater than 0, got ", eps);
  }
}

void LinearSpec::validate(Errors& errors) const {
  Errors weight_errors, activation_errors;
  weight.validate(weight_errors);
  activation.validate(activation_errors);
  errors.add_all("weight", weight_errors);
  errors.add_all("activation", activation_errors);
}

}  // namespace setun
