// AdamW (1711.05101 algorithm 2): p *= 1 - lr wd; m, v moving averages; p -= lr (m / (1 - b1^t)) /
// (sqrt(v / (1 - b2^t)) + eps). The arithmetic is LibTorch's fused kernel: one pass over parameter,
// gradient and both moments. Deliberately absent: amsgrad, maximize, and any choice of parameters
// (param_groups.cpp).
#include "optim/adamw.h"

#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>
#include <unordered_set>

#include "optim/grad_norm.h"

namespace setun {

AdamW::AdamW(std::vector<ParamGroup> groups, const OptimOptions& options)
    : beta1_(options.beta1), beta2_(options.beta2), eps_(options.eps) {
  std::unordered_set<std::string> names;
  for (ParamGroup& group : groups) {
    GroupState state;
    for (const NamedParameter& parameter : group.parameters) {
      SETUN_ASSERT(names.insert(parameter.name).second, "parameter ", parameter.name, " twice");
      SETUN_ASSERT(parameter.tensor.is_contiguous(), parameter.name, " is not contiguous");
      const at::Tensor& tensor = parameter.tensor;
      state.exp_avg.push_back(at::zeros_like(tensor.detach()));
      state.exp_avg_sq.push_back(at::zeros_like(tensor.detach()));
      state.steps.push_back(at::zeros({}, tensor.options().dtype(at::kFloat).requires_grad(false)));
    }
    state.group = std::move(group);
    groups_.push_back(std::move(state));
  }
}

void AdamW::step(double lr, double weight_decay) {
  for (GroupState& state : groups_) {
    std::vector<at::Tensor> parameters, gradients, exp_avg, exp_avg_sq, steps;
    for (size_t i = 0; i < state.group.parameters.size(); ++i) {
      const at::Tensor& parameter = state.group.parameters[i].tensor;
      if (!parameter.grad().defined()) {
        continue;
      }
      parameters.push_back(parameter.detach());
      gradients.push_back(parameter.grad().detach().contiguous());  // the kernel reads flat memory
      exp_avg.push_back(state.exp_avg[i]);
      exp_avg_sq.push_back(state.exp_avg_sq[i]);
      steps.push_back(state.steps[i].add_(1));
    }
    if (!parameters.empty()) {
      at::_fused_adamw_(parameters, gradients, exp_avg, exp_avg_sq, /*max_exp_avg_sqs=*/{}, steps,
                        lr * state.group.lr_scale, beta1_, beta2_,
                        state.group.weight_decay.value_or(weight_decay), eps_, /*amsgrad=*/false,
                        /*maximize=*/false);
    }
  }
  zero_grad();
}

void AdamW::zero_grad() {
  for (GroupState& state : groups_) {
    for (NamedParameter& parameter : state.group.parameters) {
      parameter.tensor.mutable_grad().reset();
    }
  }
}

double AdamW::clip_grad_norm(double max_norm) {
  double squares = 0;
  for (const GroupState& state : groups_) {
    for (const NamedParameter& parameter : state.group.parameters) {
      if (parameter.tensor.grad().defined()) {
        squares += sum_of_squares(parameter.tensor.grad());
      }
    }
  }
  const double norm = std::sqrt(squares);
  const double scale = max_norm / (norm + 1e-6);
  if (max_norm > 0 && scale < 1) {
    for (GroupState& state : groups_) {
      for (NamedParameter& parameter : state.group.parameters) {
        if (parameter.tensor.grad().defined()) {
          parameter.tensor.mutable_grad().detach().mul_(scale);
        }
      }
    }
  }
  return norm;
}

std::string AdamW::first_non_finite_gradient() const {
  for (const GroupState& state : groups_) {
    for (const NamedParameter& parameter : state.group.parameters) {
      const at::Tensor& gradient = parameter.tensor.grad();
      if (gradient.defined() && !std::isfinite(sum_of_squares(gradient))) {
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
