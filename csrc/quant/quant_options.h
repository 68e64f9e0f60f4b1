// The `quant` section: a default spec, ordered layer patches (later wins), phases that change specs
// during a run, and attention's heads. Torch-free. quant/quant_plan.h turns it into one LinearSpec
// per layer and phase before training starts.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/step_point.h"
#include "quant/attention_quant_options.h"
#include "quant/linear_spec.h"

namespace setun {

// The keys a patch sets; an absent one leaves the spec as it was.
struct WeightQuantPatch {
  std::optional<WeightScheme> scheme;
  std::optional<Granularity> granularity;
  std::optional<int64_t> group_size;
  std::optional<int64_t> parts;
  std::optional<PartAxis> parts_axis;
  std::optional<Rounding> rounding;
  std::optional<double> blend;
  std::optional<Estimator> estimator;
  std::optional<WeightStorage> storage;
  std::optional<double> eps;
  bool operator==(const WeightQuantPatch&) const = default;
};
struct ActivationQuantPatch {
  std::optional<ActivationScheme> scheme;
  std::optional<int64_t> bits;
  std::optional<Granularity> granularity;
  std::optional<double> multiplier;
  std::optional<Estimator> estimator;
  std::optional<double> eps;
  bool operator==(const ActivationQuantPatch&) const = default;
};
struct RotationPatch {
  std::optional<RotationKind> kind;
  std::optional<int64_t> block;
  std::optional<bool> signs;
  std::optional<int64_t> seed;
  std::optional<Rotated> of;
  bool operator==(const RotationPatch&) const = default;
};
struct SparsityPatch {
  std::optional<SparsityKind> kind;
  std::optional<double> keep;
  std::optional<int64_t> n;
  std::optional<int64_t> m;
  std::optional<Rescale> rescale;
  std::optional<SparsityGradient> gradient;
  bool operator==(const SparsityPatch&) const = default;
};
struct SpecPatch {
  WeightQuantPatch weight;
  ActivationQuantPatch activation;
  RotationPatch rotation;
  SparsityPatch sparsity;
  bool operator==(const SpecPatch&) const = default;
  LinearSpec apply(LinearSpec spec) const;
};

// match: a role ("down"), a role with a block range ("down[0..3]", both ends included; "qkv[2]"), a
// layer name
// ("blocks.3.attn.q"), or a name with '*', which reaches a router only when it says "router". A
// match that hits no layer is an error.
struct LayerPatch {
  std::string match;
  SpecPatch set;
  bool operator==(const LayerPatch&) const = default;
};

// From step `at` on, the patches apply on top of the phase before. During the first `ramp` steps a
// layer's quantizers yield (1 - lambda) * before + lambda * after with lambda rising linearly from
// 1/(ramp+1) (0 steps: at once).
struct QuantPhase {
  StepPoint at;
  StepPoint ramp;
  std::vector<LayerPatch> layers;  // match "*" reaches what `default` does
  bool operator==(const QuantPhase&) const = default;
};

struct QuantOptions {
  LinearSpec base;  // YAML key `default`: every linear inside the blocks but routers, never the
                    // head; of a classifier every linear (hidden, classifier)
  std::vector<LayerPatch> layers;
  std::vector<QuantPhase> phases;
  AttentionQuantOptions attention = {};
  bool operator==(const QuantOptions&) const = default;
  void validate(Errors& errors) const;
};

}  // namespace setun
