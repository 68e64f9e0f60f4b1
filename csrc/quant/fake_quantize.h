// The only switches over a spec: fake quantization of a linear layer's weight and input, composed
// from rotations, quantizers, masks and estimators.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "quant/linear_spec.h"
#include "quant/quantized_weight.h"

namespace setun {

// The weight a product uses, w + blend (Q_w(w) - w) with w = latent (R): latent fp32 [O, I], no
// gradient graph. spec.changes_weight() must hold; codes and scale are undefined when the weight is
// only rotated. `draws_key` drives stochastic rounding: a function of (seed, step, layer).
QuantizedWeight quantize_weight(const at::Tensor& latent_OI, const LinearSpec& spec,
                                uint64_t draws_key);

// dL/d latent from dL/d value: the estimator's backward, then R^T. STE without a rotation: the very
// same tensor, not a copy.
at::Tensor weight_gradient(const at::Tensor& grad_value_OI, const at::Tensor& latent_OI,
                           const LinearSpec& spec);

// The input a product uses, (Q_a(x R) * mask) * factor with the estimators as derivatives: x [...,
// K]
// -> [..., K]. The same tensor when the spec changes nothing.
at::Tensor quantize_input(const at::Tensor& x, const LinearSpec& spec);

// Integer codes of a quantized input with their ends; undefined codes when the scheme has none
// (none, b1, b1_shifted). x is what the quantizer sees: rotated, dense.
struct InputCodes {
  at::Tensor codes;       // int8, x's shape
  at::Tensor multiplier;  // fp32 [..., 1]: value = codes / multiplier; infinite where the step is 0
  int64_t end = 0;        // the largest magnitude that is not clipped further
};
InputCodes input_codes(const at::Tensor& x, const ActivationQuantSpec& spec);

// Health of a layer's quantized input, for the metrics; no gradient.
struct InputHealth {
  std::optional<double> clip_share;  // codes at either end of the range; absent without codes
  double zero_share = 0;             // zeros among what the product reads
};
InputHealth input_health(const at::Tensor& x, const at::Tensor& quantized, const LinearSpec& spec);

}  // namespace setun
