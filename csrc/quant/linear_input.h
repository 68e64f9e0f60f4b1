// What linear layers read: a tensor and the norm in front of it. They are kept apart so that an
// integer product can normalise and quantize in one pass and never makes the normalised tensor;
// where it is needed, LinearInput::normed() is the norm by its operator.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "model/model_options.h"
#include "ops/gated_kind.h"

namespace setun {

struct InputNorm {
  NormKind kind = NormKind::kRms;
  at::Tensor gain;  // fp32 [K]; undefined: ones
  double eps = 1e-5;

  // x fp32, bf16 or fp16 [..., K] -> fp32 [..., K]; differentiable in x and gain.
  at::Tensor operator()(const at::Tensor& x) const;
  bool same(const InputNorm& other) const {
    return kind == other.kind && gain.is_same(other.gain) && eps == other.eps;
  }
};

// Where a tensor came from that is act(gate) * up (ops::gated_activation).
struct GatedSource {
  at::Tensor gate, up;
  GatedKind kind = GatedKind::kSilu;
};

struct LinearInput {
  // Implicit: a tensor without a norm in front of it is an input.
  LinearInput(at::Tensor x_in, std::optional<InputNorm> norm_in = std::nullopt)
      : x(std::move(x_in)), norm(std::move(norm_in)) {}

  at::Tensor normed() const { return norm ? (*norm)(x) : x; }
  // The same tensor behind the same norm: what consecutive layers share.
  bool same(const LinearInput& other) const {
    return x.is_same(other.x) && norm.has_value() == other.norm.has_value() &&
           (!norm || norm->same(*other.norm));
  }

  at::Tensor x;
  std::optional<InputNorm> norm;
  // Absent: x came from something else. That activation keeps gate and up for its own backward, so
  // a layer that needs x again then can make it from them and keep nothing.
  std::optional<GatedSource> source;
};

}  // namespace setun
