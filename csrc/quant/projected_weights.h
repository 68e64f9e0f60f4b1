// weight.storage: projected. Between optimizer steps a weight parameter holds what its quantizer
// makes of the latent, on the grid, for everyone who reads it (evaluation, export); the latent
// lives here, beside the optimizer's moments. Hooks of one step: forward and backward at the
// projected weights -> backward_to_latents() -> before_step() puts the latents into the parameters
// -> optimizer -> after_step() takes them back and projects. The mechanics of PARQ (2503.15748).
// With the straight-through estimator it computes bit for bit what latent storage does; it costs 4
// bytes a weight.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

#include "quant/quant_context.h"

namespace setun {

class ProjectedWeights {
 public:
  // `weights`: the weight parameters of all layers of the context's plan, in its order. Their
  // values are the latents.
  ProjectedWeights(QuantContext& context, const std::vector<at::Tensor>& weights);

  // Turns the gradients at the projected weights into the latents', through each layer's estimator.
  void backward_to_latents();
  // Before the optimizer step: the parameters hold their latents.
  void before_step();
  // After it: the parameters' values are the new latents.
  void after_step();
  // The parameters hold what the spec of `state` makes of their latents. Sets the context's state.
  void project(const StepState& state);

  // "<layer>.weight.latent" and the live tensor, for the checkpoint to save or copy into.
  std::vector<std::pair<std::string, at::Tensor>> state() const;

 private:
  struct Weight {
    int64_t layer;
    at::Tensor parameter;
    at::Tensor latent;
  };
  QuantContext& context_;
  std::vector<Weight> weights_;
};

}  // namespace setun
