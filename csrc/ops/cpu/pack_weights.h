// Packing the ternary codes of a weight whose scale is known, for the operators that make one.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>

namespace setun::ops::cpu {

// How many codes are -1, 0 and 1.
using CodeCounts = std::array<int64_t, 3>;

// Codes clip(rne(w * (1 / scale)), -1, 1) of w [O, I], fp32, bf16 or fp16, with scale fp32 [1, 1]
// or [O, groups], into packed_bytes(O, I) bytes. Over threads.
CodeCounts pack_scaled(const at::Tensor& w_OI, const at::Tensor& scale, uint8_t* packed);

}  // namespace setun::ops::cpu
