// AdamW with decoupled weight decay (1711.05101) over parameter groups, with saveable state. One
// pass over parameter, gradient and moments applies the clip factor too; where a weight is
// quantized by its mean magnitude the update leaves its codes behind as well, for the next step's
// product.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ops/ops.h"
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
  // released. Its three parts, for a caller that records the middle one: begin_step counts the step
  // and sends its factors to the parameters' device, update() launches there and nothing else,
  // end_step does the host's bookkeeping.
  void step(double lr, double weight_decay);
  void begin_step(double lr, double weight_decay);
  void update();
  void end_step();
  void zero_grad();
  // Global L2 norm of all gradients. When it exceeds max_norm > 0, the next step() scales them to
  // max_norm as it reads them; until then .grad keeps its values. Returns the norm before scaling.
  double clip_grad_norm(double max_norm);
  // The same for the squared norm, where grad_squares() was taken before.
  double clip_grad_norm(double max_norm, double squares);
  // The squared norm of all gradients, a double scalar on their device; undefined without any.
  at::Tensor grad_squares() const;
  // What the next step() multiplies the gradients with: 1 unless clip_grad_norm found them long.
  double clip_factor() const { return clip_; }
  // First parameter with a non-finite gradient, or "".
  std::string first_non_finite_gradient() const;

  // From now on every step() leaves ternary_of() behind for these weights [O, I] of the optimizer.
  struct TernaryWeight {
    at::Tensor tensor;
    double eps;
  };
  void keep_ternary(const std::vector<TernaryWeight>& weights);
  // Codes and scale of a weight, bit for bit those of ops::quantize_pack_absmean(weight, 0, eps),
  // without counts; all undefined when the weight changed otherwise since (a loaded checkpoint, a
  // projection), for another eps, and for weights that keep_ternary was not given. Live memory: the
  // next step() writes it.
  ops::PackedWeight ternary_of(const at::Tensor& weight, double eps) const;

  // "<name>.exp_avg", "<name>.exp_avg_sq", "<name>.step": live tensors, for the checkpoint to save
  // or copy into.
  std::vector<NamedParameter> state() const;

 private:
  struct GroupState {
    ParamGroup group;
    std::vector<at::Tensor> exp_avg;
    std::vector<at::Tensor> exp_avg_sq;
    std::vector<at::Tensor> steps;
    int64_t first_row = 0;  // of factors_
  };
  struct Ternary {
    ops::PackedTernary codes;  // one memory for the whole run, and so has the scale
    at::Tensor scale;
    double eps = 0;
    int64_t version = 0;  // of the weight that they belong to
  };
  Ternary* kept_ternary(const at::Tensor& weight);

  std::vector<GroupState> groups_;
  std::unordered_map<const at::TensorImpl*, Ternary> ternaries_;
  int64_t parameters_ = 0;
  at::Tensor factors_;  // AdamWFactors by parameter, fp32 [P, 8] on the parameters' device
  double beta1_, beta2_, eps_;
  double clip_ = 1;
};

}  // namespace setun
