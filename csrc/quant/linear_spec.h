// What a method does to one linear layer, as plain data: y = (Q_a(x R) * mask) Q_w(W or W R)^T with
// a rotation R, an activation quantizer Q_a, a sparsity mask and a weight quantizer Q_w. An empty
// spec is full precision. Torch-free, so that config and the planner see it. Formulas:
// quant/quantizers/, quant/input_transform.h. A norm is not here: where norms stand is the
// architecture's choice (model/model_options.h), equal for both twins.
#pragma once

#include <cstdint>
#include <string>

#include "base/enum_names.h"
#include "base/error.h"

namespace setun {

// absmean, absmedian: ternary codes. binary: sgn(w - mean w), scale mean |w|.
enum class WeightScheme { kNone, kAbsmean, kAbsmedian, kBinary };
// absmax: 127 / max|x| and its kin; absmean: sqrt(Qp) / mean|x|; fp4: E2M1 scaled to the maximum;
// b1, b1_shifted: the two forms of BitNet b1, which clip and do not round.
enum class ActivationScheme { kNone, kAbsmax, kAbsmean, kFp4, kB1, kB1Shifted };
enum class Granularity { kTensor, kRow, kGroup, kPart, kToken };
enum class PartAxis { kRows, kColumns };
enum class Rounding { kNearest, kStochastic };
enum class Estimator { kSte };
enum class RotationKind { kNone, kHadamard };
enum class Rotated { kInput, kBoth };
enum class SparsityKind { kNone, kTopk, kNm };
enum class SparsityGradient { kSte, kMasked };
enum class Rescale { kNone, kL2 };
// What a weight parameter holds between optimizer steps: the latent, or its projection on the grid
// (the latent is then kept beside the optimizer's moments: quant/projected_weights.h).
enum class WeightStorage { kLatent, kProjected };

// The part a linear layer plays; quant.layers and parameter groups address layers by it.
// expert: gate, up and down of every expert of a mixture; moe_head, moe_merge: the projections
// around the experts of a multi-head mixture (2411.16205).
enum class Role {
  kQkv,
  kO,
  kGateUp,
  kDown,
  kExpert,
  kRouter,
  kMoeHead,
  kMoeMerge,
  kHead,
  kHidden,
  kClassifier
};

// quant.default and the match "*" are for what a method quantizes; these layers are named or left
// in full precision.
constexpr bool only_by_name(Role role) { return role == Role::kHead || role == Role::kRouter; }

template <>
struct EnumNames<WeightScheme> {
  static constexpr auto table = enum_table<WeightScheme>({{WeightScheme::kNone, "none"},
                                                          {WeightScheme::kAbsmean, "absmean"},
                                                          {WeightScheme::kAbsmedian, "absmedian"},
                                                          {WeightScheme::kBinary, "binary"}});
};
template <>
struct EnumNames<ActivationScheme> {
  static constexpr auto table =
      enum_table<ActivationScheme>({{ActivationScheme::kNone, "none"},
                                    {ActivationScheme::kAbsmax, "absmax"},
                                    {ActivationScheme::kAbsmean, "absmean"},
                                    {ActivationScheme::kFp4, "fp4"},
                                    {ActivationScheme::kB1, "b1"},
                                    {ActivationScheme::kB1Shifted, "b1_shifted"}});
};
template <>
struct EnumNames<Granularity> {
  static constexpr auto table = enum_table<Granularity>({{Granularity::kTensor, "tensor"},
                                                         {Granularity::kRow, "row"},
                                                         {Granularity::kGroup, "group"},
                                                         {Granularity::kPart, "part"},
                                                         {Granularity::kToken, "token"}});
};
template <>
struct EnumNames<Estimator> {
  static constexpr auto table = enum_table<Estimator>({{Estimator::kSte, "ste"}});
};
template <>
struct EnumNames<PartAxis> {
  static constexpr auto table =
      enum_table<PartAxis>({{PartAxis::kRows, "rows"}, {PartAxis::kColumns, "columns"}});
};
template <>
struct EnumNames<Rounding> {
  static constexpr auto table = enum_table<Rounding>(
      {{Rounding::kNearest, "nearest"}, {Rounding::kStochastic, "stochastic"}});
};
template <>
struct EnumNames<RotationKind> {
  static constexpr auto table = enum_table<RotationKind>(
      {{RotationKind::kNone, "none"}, {RotationKind::kHadamard, "hadamard"}});
};
template <>
struct EnumNames<Rotated> {
  static constexpr auto table =
      enum_table<Rotated>({{Rotated::kInput, "input"}, {Rotated::kBoth, "both"}});
};
template <>
struct EnumNames<SparsityKind> {
  static constexpr auto table = enum_table<SparsityKind>(
      {{SparsityKind::kNone, "none"}, {SparsityKind::kTopk, "topk"}, {SparsityKind::kNm, "nm"}});
};
template <>
struct EnumNames<SparsityGradient> {
  static constexpr auto table = enum_table<SparsityGradient>(
      {{SparsityGradient::kSte, "ste"}, {SparsityGradient::kMasked, "masked"}});
};
template <>
struct EnumNames<Rescale> {
  static constexpr auto table =
      enum_table<Rescale>({{Rescale::kNone, "none"}, {Rescale::kL2, "l2"}});
};
template <>
struct EnumNames<WeightStorage> {
  static constexpr auto table = enum_table<WeightStorage>(
      {{WeightStorage::kLatent, "latent"}, {WeightStorage::kProjected, "projected"}});
};
template <>
struct EnumNames<Role> {
  static constexpr auto table = enum_table<Role>({{Role::kQkv, "qkv"},
                                                  {Role::kO, "o"},
                                                  {Role::kGateUp, "gate_up"},
                                                  {Role::kDown, "down"},
                                                  {Role::kExpert, "expert"},
                                                  {Role::kRouter, "router"},
                                                  {Role::kMoeHead, "moe_head"},
                                                  {Role::kMoeMerge, "moe_merge"},
                                                  {Role::kHead, "head"},
                                                  {Role::kHidden, "hidden"},
                                                  {Role::kClassifier, "classifier"}});
};

struct WeightQuantSpec {
  WeightScheme scheme = WeightScheme::kNone;
  Granularity granularity = Granularity::kTensor;
  int64_t group_size = 0;  // columns per scale; only with granularity group
  // Only with granularity part (2310.11453 eq. 12-15): equal parts of the matrix, a scale each.
  int64_t parts = 0;
  PartAxis parts_axis = PartAxis::kRows;  // what is divided
  Rounding rounding = Rounding::kNearest;
  double blend = 1.0;  // value = w + blend (Q(w) - w), in (0, 1] (2407.09527, lambda)
  Estimator estimator = Estimator::kSte;
  double eps = 1e-5;                               // the scale is max(statistic, eps)
  WeightStorage storage = WeightStorage::kLatent;  // the same in every phase

  bool operator==(const WeightQuantSpec&) const = default;
  void validate(Errors& errors) const;
};

struct ActivationQuantSpec {
  ActivationScheme scheme = ActivationScheme::kNone;
  int64_t bits = 8;                               // 2..8; fp4 has 4
  Granularity granularity = Granularity::kToken;  // token or tensor
  double multiplier = 1.0;                        // of absmean's statistic
  Estimator estimator = Estimator::kSte;
  double eps = 1e-5;  // smallest statistic; added to it by absmean; distance from the ends by b1

  bool operator==(const ActivationQuantSpec&) const = default;
  void validate(Errors& errors) const;
};

// Below it a rotation mixes too few features to spread an outlier (methods: docs/numerics.md).
inline constexpr int64_t kSmallestBlock = 64;

// R = diag(signs) blockdiag(H), H the normalized Walsh-Hadamard matrix (2504.18415 section 2.1).
struct RotationSpec {
  RotationKind kind = RotationKind::kNone;
  int64_t block = 0;   // order of H, a power of two; 0: the largest that divides the width
  bool signs = false;  // random signs in front, drawn from (seed, width)
  int64_t seed = 1;
  // input: W is learned in the rotated basis. both: Q_w sees W R, so that x R (W R)^T = x W^T
  // before quantization.
  Rotated of = Rotated::kInput;

  bool operator==(const RotationSpec&) const = default;
  bool rotates_weight() const { return kind != RotationKind::kNone && of == Rotated::kBoth; }
  // The order of H for a width: `block`, or the largest power of two that divides it.
  int64_t resolved_block(int64_t width) const { return block > 0 ? block : width & -width; }
  void validate(Errors& errors) const;
};

// Which inputs stay (2407.10969 eq. 1-4): chosen by |x| before the quantizer, applied after it.
struct SparsitySpec {
  SparsityKind kind = SparsityKind::kNone;
  double keep = 0.5;  // topk: max(1, floor(keep * width)) of a token's features, in (0, 1]
  int64_t n = 16;     // nm: n of every m consecutive features
  int64_t m = 32;
  Rescale rescale = Rescale::kNone;  // l2: times |x| / |x * mask|, a constant of the gradient
  SparsityGradient gradient = SparsityGradient::kSte;  // ste: the mask is the identity backward

  bool operator==(const SparsitySpec&) const = default;
  void validate(Errors& errors) const;
};

struct LinearSpec {
  WeightQuantSpec weight;
  ActivationQuantSpec activation;
  RotationSpec rotation;
  SparsitySpec sparsity;

  bool operator==(const LinearSpec&) const = default;
  bool quantizes() const {
    return weight.scheme != WeightScheme::kNone || activation.scheme != ActivationScheme::kNone;
  }
  // Equal in all that makes the product's weight, or its input, from the layer's own.
  bool same_weight(const LinearSpec& other) const {
    return weight == other.weight &&
           (rotation == other.rotation ||
            !(rotation.rotates_weight() || other.rotation.rotates_weight()));
  }
  bool same_input(const LinearSpec& other) const {
    return activation == other.activation && rotation == other.rotation &&
           sparsity == other.sparsity;
  }
  // Whether the product's weight differs from the parameter.
  bool changes_weight() const {
    return weight.scheme != WeightScheme::kNone || rotation.rotates_weight();
  }
  bool changes_input() const {
    return activation.scheme != ActivationScheme::kNone || rotation.kind != RotationKind::kNone ||
           sparsity.kind != SparsityKind::kNone;
  }
  // Both operands of the product are integer codes times scales: a ternary or binary weight that is
  // neither blended nor projected, an input with codes.
  bool has_integer_form() const;
  void validate(Errors& errors) const;
};

// Bits that a weight takes when packed; 16 without a quantizer.
int stored_bits(const WeightQuantSpec& spec);

// A linear layer of a model, by the name its weight has in a checkpoint (without ".weight").
struct LayerInfo {
  std::string name;  // "blocks.3.attn.q"
  Role role;
  int64_t block;  // -1 outside the blocks
  int64_t out_features;
  int64_t in_features;
  bool to_residual = false;  // its output is what a block adds to the residual stream
};

}  // namespace setun
