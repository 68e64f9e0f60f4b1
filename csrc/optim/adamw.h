// AdamW with decoupled weight decay (1711.05101) over parameter groups, with saveable state. One
// pass over parameter, gradient and moments applies the clip factor too and leaves behind the mean
// magnitude of what it wrote, which absmean quantization then need not read for.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>
#include <unordered_map>
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

  // From now on every step() leaves absmean_of() behind for these parameters of the optimizer.
  void keep_absmean(const std::vector<at::Tensor>& parameters);
  // mean|p| after the last step() that updated p, fp32 [1, 1] on p's device, bit for bit the
  // statistic of ops::quantize_absmean with group 0 before its eps; undefined before a step, after
  // any other write to p (a loaded checkpoint, a projection), and for parameters that keep_absmean
  // was not given.
  at::Tensor absmean_of(const at::Tensor& parameter) const;

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
  struct Absmean {
    at::Tensor value;      // one memory for the whole run
    int64_t version = -1;  // of the parameter that `value` belongs to; -1: of none
  };
  Absmean* kept_absmean(const at::Tensor& parameter);

  std::vector<GroupState> groups_;
  std::unordered_map<const at::TensorImpl*, Absmean> absmeans_;
  int64_t parameters_ = 0;
  at::Tensor factors_;  // AdamWFactors by parameter, fp32 [P, 8] on the parameters' device
  double beta1_, beta2_, eps_;
  double clip_ = 1;
};

}  // namespace setun
