// The result of quantizing a weight once: codes and scale (for metrics, export, integer kernels)
// and the value used in products.
#pragma once

#include <ATen/core/Tensor.h>

namespace setun {

struct QuantizedWeight {
  at::Tensor codes;  // int8 [O, I]; undefined when the layer has no weight quantizer
  at::Tensor scale;  // fp32
  at::Tensor value;  // [O, I] fp32: codes * scale (blended while a phase ramps)
};

}  // namespace setun
