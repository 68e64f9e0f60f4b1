// AdamW (1711.05101 algorithm 2): p *= 1 - lr wd; m, v moving averages; p -= lr (m / (1 - b1^t)) /
// (sqrt(v / (1 - b2^t)) + eps), in blocks of the canonical sum tree over threads (the arithmetic is
// ops/cpu/optimizer_impl.h). Deliberately absent: amsgrad, maximize, states of fewer bits, and any
// choice of parameters (param_groups.cpp).
#include "optim/adamw.h"

#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>
#include <unordered_set>

#include "ops/cpu/row_kernels.h"
#include "ops/cpu/statistics.h"
#include "ops/cpu/step_kernels.h"
#include "optim/grad_norm.h"

namespace setun {

AdamW::AdamW(std::vector<ParamGroup> groups, const OptimOptions& options)
    : beta1_(options.beta1), beta2_(options.beta2), eps_(options.eps) {
  std::unordered_set<std::string> names;
  for (ParamGroup& group : groups) {
    GroupState state;
    for (const NamedParameter& parameter : group.parameters) {
      SETUN_ASSERT(names.insert(parameter.name).second, "parameter ", parameter.name, " twice");
      const at::Tensor& tensor = parameter.tensor;
      SETUN_ASSERT(tensor.is_contiguous() && tensor.is_cpu() && tensor.scalar_type() == at::kFloat,
                   parameter.name, ": expected a contiguous fp32 tensor on the CPU, got ",
                   tensor.toString(), " ", tensor.sizes(), " ", tensor.strides());
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
  const ops::cpu::AdamWScalars scalars{
      .clip = static_cast<float>(clip_),
      .decay = static_cast<float>(1 - lr * weight_decay),
      .rate = static_cast<float>(lr / (1 - std::pow(beta1_, step))),
      .correction = static_cast<float>(1 / std::sqrt(1 - std::pow(beta2_, step))),
      .eps = static_cast<float>(eps_),
      .first = static_cast<float>(1 - beta1_),
      .beta2 = static_cast<float>(beta2_),
      .second = static_cast<float>(1 - beta2_)};
  const auto kept = absmeans_.find(parameter.unsafeGetTensorImpl());
  const int64_t n = parameter.numel();
  const bool absmean = kept != absmeans_.end() && n > 0;
  auto *p = static_cast<float*>(parameter.data_ptr()), *m = state.exp_avg[index].data_ptr<float>(),
       *v = state.exp_avg_sq[index].data_ptr<float>();
  const auto* g = gradient.const_data_ptr<float>();
  const ops::cpu::StepKernels& kernels = ops::cpu::step_kernels();
  const ops::cpu::RowKernels& rows = ops::cpu::row_kernels();
  const std::vector<float> magnitudes =
      ops::cpu::block_values(n, /*threads=*/true, [&](int64_t begin, int64_t count) {
        kernels.adamw(scalars, g + begin, count, p + begin, m + begin, v + begin);
        return absmean ? rows.abs_sum(p + begin, count) : 0.0F;  // of a block in cache
      });
  parameter.unsafeGetTensorImpl()->bump_version();
  if (absmean) {
    const float total =
        ops::cpu::sum_tree(magnitudes.data(), static_cast<int64_t>(magnitudes.size()));
    kept->second = {total / static_cast<float>(n), static_cast<uint32_t>(parameter._version())};
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
  clip_ = max_norm > 0 && scale < 1 ? scale : 1;
  return norm;
}

void AdamW::keep_absmean(const std::vector<at::Tensor>& parameters) {
  for (const at::Tensor& parameter : parameters) {
    absmeans_[parameter.unsafeGetTensorImpl()] = {};
  }
}

std::optional<float> AdamW::absmean_of(const at::Tensor& parameter) const {
  const auto kept = absmeans_.find(parameter.unsafeGetTensorImpl());
  const bool current = kept != absmeans_.end() && kept->second.value &&
                       kept->second.version == static_cast<uint32_t>(parameter._version());
  return current ? kept->second.value : std::nullopt;
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
