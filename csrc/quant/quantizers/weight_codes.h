// Ternary and binary codes of a weight with one scale per tensor, row, group of columns or equal
// part of the matrix: ops::quantize_absmean and its kin have the formulas, this file says what
// shares a scale. No rotation and no blending here (quant/fake_quantize.h).
#pragma once

#include <optional>

#include "ops/ops.h"
#include "quant/linear_spec.h"
#include "quant/quantized_weight.h"

namespace setun {

// w_OI fp32 [O, I] -> codes int8 [O, I] in {-1, 0, 1}; scale fp32 [1, 1], [O, scales per row] or
// [parts, 1]; value = codes * scale. `draws_key` is used with stochastic rounding only.
QuantizedWeight quantize_weight_codes(const at::Tensor& w_OI, const WeightQuantSpec& spec,
                                      uint64_t draws_key);

// The codes alone, and their scale as a product reads it: [1, 1], [O, 1] or [O, groups of a row].
ops::Codes weight_codes(const at::Tensor& w_OI, const WeightQuantSpec& spec, uint64_t draws_key);

// `group` of ops::quantize_pack_absmean where that operator makes this spec's codes.
std::optional<int64_t> packing_group(const WeightQuantSpec& spec, int64_t columns);

}  // namespace setun
