// AdamW with decoupled weight decay (1711.05101) on at::_fused_adamw_, over parameter groups, with
// saveable state.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "optim/optim_options.h"
#include "quant/linear_spec.h"

namespace setun {

struct NamedParameter {
  std::string name;
  at::Tensor tensor;
};

struct ParamGroup {
  std::vector<NamedParameter> parameters;
  double lr_scale = 1.0;
  std::optional<double> weight_decay;  // absent: the step's
};

// Ordered patterns, first match wins; parameters no pattern takes form the last group. A pattern
// that hits nothing is an error naming it and the parameter names. `layers` tells the role of each
// linear's weight.
std::vector<ParamGroup> make_param_groups(const std::vector<NamedParameter>& parameters,
                                          const std::vector<LayerInfo>& layers,
                                          const OptimOptions& options);

class AdamW {
 public:
  AdamW(std::vector<ParamGroup> groups, const OptimOptions& options);
  // One update from the .grad of every parameter (absent gradient: skipped), then gradients are
  // released.
  void step(double lr, double weight_decay);
  void zero_grad();
  // Global L2 norm of all gradients; scales them when it exceeds max_norm > 0. Returns the norm
  // before scaling.
  double clip_grad_norm(double max_norm);
  // First parameter with a non-finite gradient, or "".
  std::string first_non_finite_gradient() const;

  // "<name>.exp_avg", "<name>.exp_avg_sq", "<name>.step": live tensors, for the checkpoint to save
  // or copy into.
  std::vector<NamedParameter> state() const;

 private:
  struct GroupState {
    ParamGroup group;
    std::vector<at::Tensor> exp_avg;
    std::vector<at::Tensor> exp_avg_sq;
    std::vector<at::Tensor> steps;
  };
  std::vector<GroupState> groups_;
  double beta1_, beta2_, eps_;
};

}  // namespace setun
