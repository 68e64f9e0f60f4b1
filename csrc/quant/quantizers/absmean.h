// Ternary absmean weights (BitNet b1.58, 2402.17764 eq. 1-3): ops::quantize_absmean has the
// formula. One scale per tensor, row or group of columns, as the spec says.
#pragma once

#include "quant/linear_spec.h"
#include "quant/quantized_weight.h"

namespace setun {

// latent_OI fp32 [O, I] -> codes int8 [O, I], scale fp32 [1, 1] or [O, scales per row], value =
// codes * scale.
QuantizedWeight quantize_weight_absmean(const at::Tensor& latent_OI, const WeightQuantSpec& spec);

}  // namespace setun
