// AdamW (1711.05101 algorithm 2): p *= 1 - lr wd; m, v moving averages; p -= lr (m / (1 - b1^t)) /
// (sqrt(v / (1 - b2^t)) + eps), one operator a parameter, on the parameter's device; step counts
// stay on the host, where the bias corrections are computed. Deliberately absent: amsgrad,
// maximize, states of fewer bits, and any choice of parameters (param_groups.cpp).
#include "optim/adamw.h"

#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>
#include <unordered_set>

#include "base/error.h"
#include "ops/step_ops.h"

namespace setun {

AdamW::AdamW(std::vector<ParamGroup> groups, const OptimOptions& options)
    : beta1_(options.beta1), beta2_(options.beta2), eps_(options.eps) {
  std::unordered_set<std::string> names;
  for (ParamGroup& group : groups) {
    GroupState state;
    for (const NamedParameter& parameter : group.parameters) {
      SETUN_ASSERT(names.insert(parameter.name).second, "parameter ", parameter.name, " twice");
      const at::Tensor& tensor = parameter.tensor;
      SETUN_ASSERT(tensor.is_contiguous() && tensor.scalar_type() == at::kFloat, parameter.name,
                   ": expected a contiguous fp32 tensor, got ", tensor.toString(), " ",
                   tensor.sizes(), " ", tensor.strides());
      state.exp_avg.push_back(at::zeros_like(tensor.detach()));
      state.exp_avg_sq.push_back(at::zeros_like(tensor.detach()));
      state.steps.push_back(at::zeros({}, at::kFloat));
    }
    state.group = std::move(group);
    groups_.push_back(std::move(state));
  }
}

void AdamW::step(double lr, double weight_decay) {
  for (GroupState& state : groups_) {
    for (size_t i = 0; i < state.group.parameters.size(); ++i) {
      if (state.group.parameters[i].tensor.grad().defined()) {
        update(state, i, lr * state.group.lr_scale,
               state.group.weight_decay.value_or(weight_decay));
      }
    }
  }
  zero_grad();
}

void AdamW::update(GroupState& state, size_t index, double lr, double weight_decay) {
  const at::Tensor& parameter = state.group.parameters[index].tensor;
  const at::Tensor gradient = parameter.grad().contiguous();  // the kernel reads flat memory
  const double step = state.steps[index].add_(1).item<double>();
  const ops::AdamWFactors factors{.clip = clip_,
                                  .decay = 1 - lr * weight_decay,
                                  .rate = lr / (1 - std::pow(beta1_, step)),
                                  .correction = 1 / std::sqrt(1 - std::pow(beta2_, step)),
                                  .eps = eps_,
                                  .first = 1 - beta1_,
                                  .beta2 = beta2_,
                                  .second = 1 - beta2_};
  const auto kept = absmeans_.find(parameter.unsafeGetTensorImpl());
  const bool absmean = kept != absmeans_.end() && parameter.numel() > 0;
  at::Tensor mean = ops::adamw_(parameter.detach(), gradient, state.exp_avg[index],
                                state.exp_avg_sq[index], factors, absmean);
  parameter.unsafeGetTensorImpl()->bump_version();
  if (absmean) {
    kept->second = {std::move(mean), static_cast<uint32_t>(parameter._version())};
  }
}

void AdamW::zero_grad() {
  clip_ = 1;
  for (GroupState& state : groups_) {
    for (NamedParameter& parameter : state.group.parameters) {
      parameter.tensor.mutable_grad().reset();
    }
  }
}

double AdamW::clip_grad_norm(double max_norm) {
  at::Tensor squares;  // gathers on the device: one read for all parameters
  for (const GroupState& state : groups_) {
    for (const NamedParameter& parameter : state.group.parameters) {
      if (parameter.tensor.grad().defined()) {
        const at::Tensor more = ops::sum_of_squares(parameter.tensor.grad());
        squares = squares.defined() ? squares.add_(more) : more;
      }
    }
  }
  const double norm = squares.defined() ? std::sqrt(squares.item<double>()) : 0;
  const double scale = max_norm / (norm + 1e-6);
  clip_ = max_norm > 0 && scale < 1 ? scale : 1;
  return norm;
}

void AdamW::keep_absmean(const std::vector<at::Tensor>& parameters) {
  for (const at::Tensor& parameter : parameters) {
    absmeans_[parameter.unsafeGetTensorImpl()] = {};
  }
}

at::Tensor AdamW::absmean_of(const at::Tensor& parameter) const {
  const auto kept = absmeans_.find(parameter.unsafeGetTensorImpl());
  const bool current = kept != absmeans_.end() && kept->second.value.defined() &&
                       kept->second.version == static_cast<uint32_t>(parameter._version());
  return current ? kept->second.value : at::Tensor();
}

std::string AdamW::first_non_finite_gradient() const {
  for (const GroupState& state : groups_) {
    for (const NamedParameter& parameter : state.group.parameters) {
      const at::Tensor& gradient = parameter.tensor.grad();
      if (gradient.defined() && !std::isfinite(ops::sum_of_squares(gradient).item<double>())) {
        return parameter.name;
      }
    }
  }
  return "";
}

std::vector<NamedParameter> AdamW::state() const {
  std::vector<NamedParameter> all;
  for (const GroupState& state : groups_) {
    for (size_t i = 0; i < state.group.parameters.size(); ++i) {
      const std::string& name = state.group.parameters[i].name;
      all.push_back({name + ".exp_avg", state.exp_avg[i]});
      all.push_back({name + ".exp_avg_sq", state.exp_avg_sq[i]});
      all.push_back({name + ".step", state.steps[i]});
    }
  }
  return all;
}

}  // namespace setun
