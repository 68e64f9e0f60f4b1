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
#include "ops/devices.h"
#include "ops/step_ops.h"

namespace setun {
namespace {

constexpr int64_t kFactors = ops::AdamWFactors::kCount;

}  // namespace

AdamW::AdamW(std::vector<ParamGroup> groups, const OptimOptions& options)
    : beta1_(options.beta1), beta2_(options.beta2), eps_(options.eps) {
  std::unordered_set<std::string> names;
  for (ParamGroup& group : groups) {
    GroupState state;
    state.first_row = parameters_;
    parameters_ += static_cast<int64_t>(group.parameters.size());
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
  begin_step(lr, weight_decay);
  update();
  end_step();
}

void AdamW::begin_step(double lr, double weight_decay) {
  const at::Tensor factors = at::zeros({parameters_, kFactors}, at::kFloat);
  at::Device device = at::kCPU;
  for (GroupState& state : groups_) {
    const double rate = lr * state.group.lr_scale,
                 decay = 1 - rate * state.group.weight_decay.value_or(weight_decay);
    float* row = factors.data_ptr<float>() + state.first_row * kFactors;
    for (size_t i = 0; i < state.group.parameters.size(); ++i, row += kFactors) {
      device = state.group.parameters[i].tensor.device();
      if (state.group.parameters[i].tensor.grad().defined()) {
        const double step = state.steps[i].add_(1).item<double>();
        ops::AdamWFactors{.clip = clip_,
                          .decay = decay,
                          .rate = rate / (1 - std::pow(beta1_, step)),
                          .correction = 1 / std::sqrt(1 - std::pow(beta2_, step)),
                          .eps = eps_,
                          .first = 1 - beta1_,
                          .beta2 = beta2_,
                          .second = 1 - beta2_}
            .round_to(row);
      }
    }
  }
  factors_ = ops::to_device(factors, device, factors_);
}

void AdamW::update() {
  for (GroupState& state : groups_) {
    for (size_t i = 0; i < state.group.parameters.size(); ++i) {
      const at::Tensor& parameter = state.group.parameters[i].tensor;
      if (!parameter.grad().defined()) {
        continue;
      }
      const at::Tensor value = parameter.detach(), gradient = parameter.grad().contiguous(),
                       factors = factors_[state.first_row + static_cast<int64_t>(i)];
      if (const Ternary* kept = kept_ternary(parameter); kept != nullptr) {
        ops::adamw_ternary_(value, gradient, state.exp_avg[i], state.exp_avg_sq[i], factors,
                            kept->eps, kept->scale, kept->codes.packed);
      } else {
        ops::adamw_(value, gradient, state.exp_avg[i], state.exp_avg_sq[i], factors);
      }
    }
  }
}

void AdamW::end_step() {
  for (GroupState& state : groups_) {
    for (const NamedParameter& item : state.group.parameters) {
      if (!item.tensor.grad().defined()) {
        continue;
      }
      item.tensor.unsafeGetTensorImpl()->bump_version();
      if (Ternary* kept = kept_ternary(item.tensor); kept != nullptr) {
        kept->version = item.tensor._version();
      }
    }
  }
  zero_grad();
}

AdamW::Ternary* AdamW::kept_ternary(const at::Tensor& weight) {
  const auto kept = ternaries_.find(weight.unsafeGetTensorImpl());
  return kept != ternaries_.end() ? &kept->second : nullptr;
}

void AdamW::zero_grad() {
  clip_ = 1;
  for (GroupState& state : groups_) {
    for (NamedParameter& parameter : state.group.parameters) {
      parameter.tensor.mutable_grad().reset();
    }
  }
}

at::Tensor AdamW::grad_squares() const {
  at::Tensor squares;  // gathers on the device: one read for all parameters
  for (const GroupState& state : groups_) {
    for (const NamedParameter& parameter : state.group.parameters) {
      if (parameter.tensor.grad().defined()) {
        const at::Tensor more = ops::sum_of_squares(parameter.tensor.grad());
        squares = squares.defined() ? squares.add_(more) : more;
      }
    }
  }
  return squares;
}

double AdamW::clip_grad_norm(double max_norm) {
  const at::Tensor squares = grad_squares();
  return clip_grad_norm(max_norm, squares.defined() ? squares.item<double>() : 0);
}

double AdamW::clip_grad_norm(double max_norm, double squares) {
  const double norm = std::sqrt(squares), scale = max_norm / (norm + 1e-6);
  clip_ = max_norm > 0 && scale < 1 ? scale : 1;
  return norm;
}

void AdamW::keep_ternary(const std::vector<TernaryWeight>& weights) {
  for (const auto& [tensor, eps] : weights) {
    ops::PackedWeight now = ops::quantize_pack_absmean(tensor.detach(), 0, eps);
    ternaries_[tensor.unsafeGetTensorImpl()] = {std::move(now.codes), std::move(now.scale), eps,
                                                tensor._version()};
  }
}

ops::PackedWeight AdamW::ternary_of(const at::Tensor& weight, double eps) const {
  const auto kept = ternaries_.find(weight.unsafeGetTensorImpl());
  if (kept == ternaries_.end() || kept->second.version != weight._version() ||
      kept->second.eps != eps) {
    return {};
  }
  return {kept->second.codes, kept->second.scale, {}};
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
