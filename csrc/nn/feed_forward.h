// Gated feed-forward: down(sub_norm(act(gate x) * up x)), act = silu (SwiGLU) or relu^2 (ReLU2-GLU;
// 2504.12285 section 2).
#pragma once

#include "model/model_options.h"
#include "nn/bit_linear.h"

namespace setun {

// The activation of ops::gated_activation that a feed-forward of this kind has.
GatedKind gated_kind(FfnKind kind);

struct FeedForwardOptions {
  int64_t hidden = 0;
  int64_t ffn = 0;
  FfnKind kind = FfnKind::kSwiGlu;
  bool sub_norm = false;
  BitLinearOptions linear;  // of gate; up and down follow. Widths come from the sizes above.
};

struct FeedForwardImpl : torch::nn::Module {
  explicit FeedForwardImpl(FeedForwardOptions options);
  // in_BTD fp32 or compute dtype -> [B, T, hidden] in the compute dtype.
  at::Tensor forward(const LinearInput& in_BTD, QuantContext& context);

  FeedForwardOptions options;
  BitLinear gate{nullptr}, up{nullptr}, down{nullptr};
  Norm sub_norm{nullptr};
};
TORCH_MODULE(FeedForward);

}  // namespace setun
