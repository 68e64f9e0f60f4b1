#include "quant/linear_spec.h"

namespace setun {

void WeightQuantSpec::validate(Errors& errors) const {
  if (granularity == Granularity::kToken) {
    errors.add("granularity", "token is for activations; a weight has tensor, row, group or part");
  }
  if (granularity == Granularity::kGroup && group_size < 1) {
    errors.add("group_size", "granularity group needs a group_size of at least 1, e.g. 128");
  }
  if (granularity != Granularity::kGroup && group_size != 0) {
    errors.add("group_size", "is ", group_size, ", but granularity is ", enum_name(granularity),
               "; set granularity: group or remove group_size");
  }
  if (granularity == Granularity::kPart && parts < 1) {
    errors.add("parts", "granularity part needs parts of at least 1, e.g. 4");
  }
  if (granularity != Granularity::kPart && (parts != 0 || parts_axis != PartAxis::kRows)) {
    errors.add(parts != 0 ? "parts" : "parts_axis", "is set, but granularity is ",
               enum_name(granularity), "; set granularity: part or remove it");
  }
  if (rounding == Rounding::kStochastic && scheme != WeightScheme::kAbsmean) {
    errors.add("rounding", "stochastic needs scheme: absmean, got ", enum_name(scheme));
  }
  if (!(blend > 0 && blend <= 1)) {
    errors.add("blend", "must be in (0, 1], got ", blend);
  }
  if (blend < 1 && scheme == WeightScheme::kNone) {
    errors.add("blend", "is ", blend, ", but there is no weight scheme to blend in");
  }
  if (!(eps > 0)) {
    errors.add("eps", "must be greater than 0, got ", eps);
  }
}

void ActivationQuantSpec::validate(Errors& errors) const {
  const bool whole = scheme == ActivationScheme::kAbsmax || scheme == ActivationScheme::kB1 ||
                     scheme == ActivationScheme::kB1Shifted;
  if (granularity != Granularity::kToken && granularity != Granularity::kTensor) {
    errors.add("granularity", "must be token or tensor, got ", enum_name(granularity));
  } else if (granularity == Granularity::kTensor && !whole) {
    errors.add("granularity", "tensor is for absmax, b1 and b1_shifted; ", enum_name(scheme),
               " has a scale per token");
  }
  if (bits < 2 || bits > 8) {
    errors.add("bits", "must be 2 to 8, got ", bits);
  } else if (scheme == ActivationScheme::kFp4 && bits != 4) {
    errors.add("bits", "fp4 has 4 bits, got ", bits, "; set bits: 4");
  }
  if (!(multiplier > 0)) {
    errors.add("multiplier", "must be greater than 0, got ", multiplier);
  } else if (multiplier != 1 && scheme != ActivationScheme::kAbsmean) {
    errors.add("multiplier", "belongs to scheme: absmean, got ", enum_name(scheme));
  }
  if (!(eps > 0)) {
    errors.add("eps", "must be greater than 0, got ", eps);
  }
}

void RotationSpec::validate(Errors& errors) const {
  if (block < 0 || (block & (block - 1)) != 0) {
    errors.add("block", "must be a power of two, or 0 for the largest that divides the width, got ",
               block);
  } else if (block > 0 && block < kSmallestBlock) {
    errors.add("block", block, " mixes too few features to spread an outlier; use at least ",
               kSmallestBlock, ", or 0");
  }
  if (kind == RotationKind::kNone && (block != 0 || signs || of != Rotated::kInput)) {
    errors.add(block != 0 ? "block"
               : signs    ? "signs"
                          : "of",
               "is set, but there is no rotation; set kind: hadamard or remove it");
  }
  if (!signs && seed != 1) {
    errors.add("seed", "draws the signs, which are off; set signs: true or remove it");
  }
}

void SparsitySpec::validate(Errors& errors) const {
  if (!(keep > 0 && keep <= 1)) {
    errors.add("keep", "must be in (0, 1], got ", keep);
  }
  if (n < 1 || m < 1 || n > m) {
    errors.add("n", "n of m needs 1 <= n <= m, got ", n, " of ", m);
  }
  if (kind == SparsityKind::kNone &&
      (rescale != Rescale::kNone || gradient != SparsityGradient::kSte)) {
    errors.add(rescale != Rescale::kNone ? "rescale" : "gradient",
               "is set, but there is no sparsity; set kind: topk or nm, or remove it");
  }
}

int stored_bits(const WeightQuantSpec& spec) {
  switch (spec.scheme) {
    case WeightScheme::kNone:
      return 16;
    case WeightScheme::kAbsmean:
    case WeightScheme::kAbsmedian:
      return 2;
    case WeightScheme::kBinary:
      return 1;
  }
  return 16;
}

bool LinearSpec::has_integer_form() const {
  const bool codes = activation.scheme == ActivationScheme::kAbsmax ||
                     activation.scheme == ActivationScheme::kAbsmean ||
                     activation.scheme == ActivationScheme::kFp4;
  return codes && weight.scheme != WeightScheme::kNone && weight.blend == 1 &&
         weight.storage == WeightStorage::kLatent;
}

void LinearSpec::validate(Errors& errors) const {
  Errors weight_errors, activation_errors, rotation_errors, sparsity_errors;
  weight.validate(weight_errors);
  activation.validate(activation_errors);
  rotation.validate(rotation_errors);
  sparsity.validate(sparsity_errors);
  errors.add_all("weight", weight_errors);
  errors.add_all("activation", activation_errors);
  errors.add_all("rotation", rotation_errors);
  errors.add_all("sparsity", sparsity_errors);
}

}  // namespace setun
