// The straight-through estimator (1308.3432; BitNet FAQ section 3; docs/numerics.md): forward uses
// the quantized value, backward treats rounding, clipping and the scale's dependence on its tensor
// as the identity. No mask for clipped values.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

namespace setun {

// quantize(x) in the forward pass, dL/dx = dL/d quantize(x) in the backward pass. quantize must
// keep shape and dtype.
at::Tensor straight_through(const at::Tensor& x,
                            const std::function<at::Tensor(const at::Tensor&)>& quantize);

}  // namespace setun
