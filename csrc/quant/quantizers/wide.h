// The type quantizers written with LibTorch's operators compute in: fp32, and double for double, so
// that oracles can be exact.
#pragma once

#include <ATen/core/Tensor.h>

namespace setun {

inline at::Tensor wide(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
}

}  // namespace setun
