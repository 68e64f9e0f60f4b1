#include "quant/projected_weights.h"

#include <ATen/core/grad_mode.h>

#include "base/error.h"
#include "quant/fake_quantize.h"

namespace setun {

ProjectedWeights::ProjectedWeights(QuantContext& context, const std::vector<at::Tensor>& weights)
    : context_(context) {
  const QuantPlan& plan = context.plan();
  SETUN_ASSERT(weights.size() == plan.layers.size(), weights.size(), " weights of ",
               plan.layers.size(), " layers");
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (plan.phases.front().specs[i].weight.storage == WeightStorage::kProjected) {
      const auto layer = static_cast<int64_t>(i);
      weights_.push_back({layer, weights[i], weights[i].detach().clone()});
      context.set_latent(layer, weights_.back().latent);
    }
  }
}

void ProjectedWeights::backward_to_latents() {
  const c10::NoGradGuard no_grad;
  for (const Weight& weight : weights_) {
    at::Tensor& gradient = weight.parameter.mutable_grad();
    if (gradient.defined()) {
      gradient = weight_gradient(gradient, weight.latent, *context_.spec(weight.layer).now);
    }
  }
}

void ProjectedWeights::before_step() {
  for (const Weight& weight : weights_) {
    weight.parameter.detach().copy_(weight.latent);
  }
}

void ProjectedWeights::after_step() {
  for (const Weight& weight : weights_) {
    weight.latent.copy_(weight.parameter.detach());
  }
}

void ProjectedWeights::project(const StepState& state) {
  if (weights_.empty()) {
    return;
  }
  context_.begin_step(state);
  for (const Weight& weight : weights_) {
    const QuantizedWeight& quantized = context_.quantized(weight.layer, weight.parameter);
    weight.parameter.detach().copy_(quantized.value.defined() ? quantized.value : weight.latent);
  }
}

std::vector<std::pair<std::string, at::Tensor>> ProjectedWeights::state() const {
  std::vector<std::pair<std::string, at::Tensor>> all;
  for (const Weight& weight : weights_) {
    const std::string& layer = context_.plan().layers[static_cast<std::size_t>(weight.layer)].name;
    all.emplace_back(layer + ".weight.latent", weight.latent);
  }
  return all;
}

}  // namespace setun
