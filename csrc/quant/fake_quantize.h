// The only switches over a spec: weight and activation fake quantization, composed from quantizers
// and estimators.
#pragma once

#include <ATen/core/Tensor.h>

#include "quant/linear_spec.h"
#include "quant/quantized_weight.h"

namespace setun {

// Quantizes a latent weight fp32 [O, I], without a gradient graph. spec.scheme must not be none.
QuantizedWeight quantize_weight(const at::Tensor& latent_OI, const WeightQuantSpec& spec);

// dL/d latent from dL/d value: the estimator's backward. STE: the very same tensor, not a copy.
at::Tensor weight_gradient(const at::Tensor& grad_value_OI, const at::Tensor& latent_OI,
                           const WeightQuantSpec& spec);

// Fake-quantizes activations [..., K] with the estimator as their derivative. The same tensor when
// the scheme is none.
at::Tensor fake_quantize_activation(const at::Tensor& x, const ActivationQuantSpec& spec);

// Share of codes at either end of the range (for 8 bits: -128, -127 and 127), for the clip-share
// metric; no gradient. 0 when there is no quantizer.
double activation_clip_share(const at::Tensor& x, const ActivationQuantSpec& spec);

}  // namespace setun
