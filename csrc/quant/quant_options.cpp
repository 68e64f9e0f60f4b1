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
      errors.add(at + ".set",
                 "changes nothing; give weight:, activation:, rotation: or sparsity: keys");
    }
  }
}

// What belonged to a choice that a patch replaced goes with it: a group size to its granularity, a
// block to its rotation.
void drop_replaced(const SpecPatch& patch, LinearSpec& spec) {
  if (patch.weight.granularity && *patch.weight.granularity != Granularity::kGroup &&
      !patch.weight.group_size) {
    spec.weight.group_size = 0;
  }
  if (patch.weight.granularity && *patch.weight.granularity != Granularity::kPart) {
    spec.weight.parts = patch.weight.parts.value_or(0);
    spec.weight.parts_axis = patch.weight.parts_axis.value_or(PartAxis::kRows);
  }
  if (patch.rotation.kind && *patch.rotation.kind == RotationKind::kNone) {
    const RotationPatch only_kind{.kind = patch.rotation.kind};
    spec.rotation = patch.rotation == only_kind ? RotationSpec{} : spec.rotation;
  }
  if (patch.sparsity.kind && *patch.sparsity.kind == SparsityKind::kNone) {
    const SparsityPatch only_kind{.kind = patch.sparsity.kind};
    spec.sparsity = patch.sparsity == only_kind ? SparsitySpec{} : spec.sparsity;
  }
  if (patch.activation.scheme && *patch.activation.scheme != ActivationScheme::kAbsmean &&
      !patch.activation.multiplier) {
    spec.activation.multiplier = 1;
  }
}

}  // namespace

LinearSpec SpecPatch::apply(LinearSpec spec) const {
  set(spec.weight.scheme, weight.scheme);
  set(spec.weight.granularity, weight.granularity);
  set(spec.weight.group_size, weight.group_size);
  set(spec.weight.parts, weight.parts);
  set(spec.weight.parts_axis, weight.parts_axis);
  set(spec.weight.rounding, weight.rounding);
  set(spec.weight.blend, weight.blend);
  set(spec.weight.estimator, weight.estimator);
  set(spec.weight.eps, weight.eps);
  set(spec.weight.storage, weight.storage);
  set(spec.activation.scheme, activation.scheme);
  set(spec.activation.bits, activation.bits);
  set(spec.activation.granularity, activation.granularity);
  set(spec.activation.multiplier, activation.multiplier);
  set(spec.activation.estimator, activation.estimator);
  set(spec.activation.eps, activation.eps);
  set(spec.rotation.kind, rotation.kind);
  set(spec.rotation.block, rotation.block);
  set(spec.rotation.signs, rotation.signs);
  set(spec.rotation.seed, rotation.seed);
  set(spec.rotation.of, rotation.of);
  set(spec.sparsity.kind, sparsity.kind);
  set(spec.sparsity.keep, sparsity.keep);
  set(spec.sparsity.n, sparsity.n);
  set(spec.sparsity.m, sparsity.m);
  set(spec.sparsity.rescale, sparsity.rescale);
  set(spec.sparsity.gradient, sparsity.gradient);
  drop_replaced(*this, spec);
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
  Errors attention_errors;
  attention.validate(attention_errors);
  errors.add_all("attention", attention_errors);
}

}  // namespace setun
