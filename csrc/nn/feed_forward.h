// Gated feed-forward: down(sub_norm(act(gate x) * up x)), act = silu (SwiGLU) or relu^2 (ReLU2-GLU; 2504.12285 section 2).
#pragma once

#include "model/model_options.h"
#include "nn/bit_linear.h"

namespace setun {

struct FeedForwardOptions {
  int64_t hidden = 0;
  int64_t ffn = 0;
  FfnKind kind = FfnKind::kSwiGlu;
  int64_t first_layer = 0;  // QuantPlan index of gate; up and down follow
  bool sub_norm = false;
  bool per_linear_norm = false;
  bool norm_gain = true;
  double norm_eps = 1e-5;
  at::ScalarType compute = at::kFloat;
};

struct FeedForwardImpl : torch::nn::Module {
  explicit FeedForwardImpl(FeedForwardOptions options);
  at::Tensor forward(const at::Tensor& x_BTD, QuantContext& context);

  FeedForwardOptions options;
  BitLinear gate{nullptr}, up{nullptr}, down{nullptr};
  RmsNorm sub_norm{nullptr};
};
TORCH_MODULE(FeedForward);

}  // namespace setun
