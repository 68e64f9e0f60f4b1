#include "quant/quant_options.h"

namespace setun {
namespace {

template <class T>
void set(T& target, const std::optional<T>& value) {
  if (value) {
    target = *value;
  }
}

void check_matches(const std::vector<LayerPatch>& patches, const std::string& key, Errors& errors) {
  for (std::size_t i = 0; i < patches.size(); ++i) {
    const std::string at = key + "[" + std::to_string(i) + "]";
    if (patches[i].match.empty()) {
      errors.add(at + ".match", "is missing: a role (", enum_list<Role>(),
                 "), role[first..last], a layer name, or a name with '*'");
    }
    if (patches[i].set == SpecPatch{}) {
      errors.add(at + ".set", "changes nothing; give weight: or activation: keys");
    }
  }
}

}  // namespace

LinearSpec SpecPatch::apply(LinearSpec spec) const {
  set(spec.weight.scheme, weight.scheme);
  set(spec.weight.granularity, weight.granularity);
  set(spec.weight.group_size, weight.group_size);
  set(spec.weight.estimator, weight.estimator);
  set(spec.weight.eps, weight.eps);
  set(spec.weight.storage, weight.storage);
  set(spec.activation.scheme, activation.scheme);
  set(spec.activation.bits, activation.bits);
  set(spec.activation.granularity, activation.granularity);
  set(spec.activation.estimator, activation.estimator);
  set(spec.activation.eps, activation.eps);
  if (weight.granularity && *weight.granularity != Granularity::kGroup && !weight.group_size) {
    spec.weight.group_size = 0;  // a group size belongs to the granularity that was replaced
  }
  return spec;
}

void QuantOptions::validate(Errors& errors) const {
  Errors base_errors;
  base.validate(base_errors);
  errors.add_all("default", base_errors);
  check_matches(layers, "layers", errors);
  for (std::size_t i = 0; i < phases.size(); ++i) {
    const std::string at = "phases[" + std::to_string(i) + "]";
    if (phases[i].layers.empty()) {
      errors.add(at + ".layers", "is empty; a phase changes at least one layer");
    }
    check_matches(phases[i].layers, at + ".layers", errors);
  }
}

}  // namespace setun
