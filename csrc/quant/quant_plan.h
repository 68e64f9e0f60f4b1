// Resolves the `quant` section against a model's layers: one LinearSpec per layer and phase, before
// training starts. Torch-free and pure, so `setun config check` runs it without making a tensor.
#pragma once

#include <vector>

#include "quant/quant_options.h"
#include "quant/step_state.h"

namespace setun {

struct QuantPlan {
  struct Phase {
    int64_t first_step = 0;
    int64_t ramp_steps = 0;
    std::vector<LinearSpec> specs;  // by layer index
  };
  std::vector<LayerInfo> layers;
  std::vector<Phase> phases;  // first_step rises strictly; phases[0].first_step == 0
  AttentionQuantOptions attention = {};
  int64_t attention_from = 0;  // attention.from as a step

  int64_t phase_at(int64_t step) const;
  double ramp_at(int64_t step) const;                  // lambda in (0, 1]
  int64_t layer_index(const std::string& name) const;  // throws InternalError when absent
};

// Finds every mistake (pattern without a hit, group size that does not divide in_features, phase
// out of order or beyond the run) and adds it to `errors` with its key below `quant`
// ("layers[1].match").
QuantPlan resolve_quant_plan(const QuantOptions& options, std::vector<LayerInfo> layers,
                             int64_t total_steps, Errors& errors);

}  // namespace setun
