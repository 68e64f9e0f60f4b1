// A sparse mixture-of-experts feed-forward part: y = sum_{p in top K} G(x)_p Expert_p(x), G =
// softmax(router x) (Switch, 2101.03961 section 2.1). With heads > 1, MH-MoE (2411.16205 eq. 2-10):
// the mixture of sub-tokens of hidden / heads features, between a head and a merge projection.
// Experts are gated feed-forwards; the router computes in fp32 whatever the compute type.
#pragma once

#include <torch/nn/modules/container/modulelist.h>

#include "model/model_options.h"
#include "nn/bit_linear.h"
#include "nn/feed_forward.h"
#include "nn/routing.h"

namespace setun {

struct MixtureOptions {
  int64_t hidden = 0;
  int64_t expert_ffn = 0;
  MoeOptions moe;
  FfnKind kind = FfnKind::kSwiGlu;
  bool sub_norm = false;    // before every expert's down and before merge
  BitLinearOptions linear;  // of the first linear; head, router, experts (gate, up, down), merge
                            // follow each other in the plan
};

struct MixtureOutput {
  at::Tensor y_BTD;     // fp32, or the compute dtype behind a merge projection
  at::Tensor balance;   // Routing::balance
  at::Tensor counts_E;  // Routing::counts_E
};

struct MixtureOfExpertsImpl : torch::nn::Module {
  explicit MixtureOfExpertsImpl(MixtureOptions options);
  // x_BTD fp32 or compute dtype. One product per expert that has rows; with gradients on, an expert
  // without rows computes on none, so that its parameters get gradients of zero.
  MixtureOutput forward(const at::Tensor& x_BTD, QuantContext& context);

  MixtureOptions options;
  BitLinear head{nullptr};  // null, as merge, without heads
  BitLinear router{nullptr};
  torch::nn::ModuleList experts{nullptr};
  Norm sub_norm{nullptr};  // before merge
  BitLinear merge{nullptr};

 private:
  at::Tensor run_experts(const at::Tensor& x_MD, const std::vector<int64_t>& counts,
                         QuantContext& context);
};
TORCH_MODULE(MixtureOfExperts);

}  // namespace setun
