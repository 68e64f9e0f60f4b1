// What a method does to one linear layer, as plain data: activation quantizer, weight quantizer.
// An empty spec is full precision. Torch-free, so that config and the planner see it. Formulas:
// quant/quantizers/. A norm is not here: where norms stand is the architecture's choice
// (model/model_options.h), equal for both twins.
#pragma once

#include <cstdint>
#include <string>

#include "base/enum_names.h"
#include "base/error.h"

namespace setun {

enum class WeightScheme { kNone, kAbsmean };
enum class ActivationScheme { kNone, kAbsmax };
enum class Granularity { kTensor, kRow, kGroup, kToken };
enum class Estimator { kSte };
// What a weight parameter holds between optimizer steps: the latent, or its projection on the grid
// (the latent is then kept beside the optimizer's moments: quant/projected_weights.h).
enum class WeightStorage { kLatent, kProjected };

// The part a linear layer plays; quant.layers and parameter groups address layers by it.
// expert: gate, up and down of every expert of a mixture; moe_head, moe_merge: the projections
// around the experts of a multi-head mixture (2411.16205).
enum class Role { kQkv, kO, kGateUp, kDown, kExpert, kRouter, kMoeHead, kMoeMerge, kHead };

// quant.default and the match "*" are for what a method quantizes; these layers are named or left
// in full precision.
constexpr bool only_by_name(Role role) { return role == Role::kHead || role == Role::kRouter; }

template <>
struct EnumNames<WeightScheme> {
  static constexpr auto table = enum_table<WeightScheme>(
      {{WeightScheme::kNone, "none"}, {WeightScheme::kAbsmean, "absmean"}});
};
template <>
struct EnumNames<ActivationScheme> {
  static constexpr auto table = enum_table<ActivationScheme>(
      {{ActivationScheme::kNone, "none"}, {ActivationScheme::kAbsmax, "absmax"}});
};
template <>
struct EnumNames<Granularity> {
  static constexpr auto table = enum_table<Granularity>({{Granularity::kTensor, "tensor"},
                                                         {Granularity::kRow, "row"},
                                                         {Granularity::kGroup, "group"},
                                                         {Granularity::kToken, "token"}});
};
template <>
struct EnumNames<Estimator> {
  static constexpr auto table = enum_table<Estimator>({{Estimator::kSte, "ste"}});
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
                                                  {Role::kHead, "head"}});
};

struct WeightQuantSpec {
  WeightScheme scheme = WeightScheme::kNone;
  Granularity granularity = Granularity::kTensor;
  int64_t group_size = 0;  // columns per scale; only with granularity group
  Estimator estimator = Estimator::kSte;
  double eps = 1e-5;                               // the scale is max(statistic, eps)
  WeightStorage storage = WeightStorage::kLatent;  // the same in every phase

  bool operator==(const WeightQuantSpec&) const = default;
  void validate(Errors& errors) const;
};

struct ActivationQuantSpec {
  ActivationScheme scheme = ActivationScheme::kNone;
  int64_t bits = 8;  // 2..8
  Granularity granularity = Granularity::kToken;
  Estimator estimator = Estimator::kSte;
  double eps = 1e-5;

  bool operator==(const ActivationQuantSpec&) const = default;
  void validate(Errors& errors) const;
};

struct LinearSpec {
  WeightQuantSpec weight;
  ActivationQuantSpec activation;

  bool operator==(const LinearSpec&) const = default;
  bool quantizes() const {
    return weight.scheme != WeightScheme::kNone || activation.scheme != ActivationScheme::kNone;
  }
  void validate(Errors& errors) const;
};

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
