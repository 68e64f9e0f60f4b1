// Inverted dropout (1207.0580) whose mask is a function of (key, element) alone: no generator, so a
// resumed run, another thread count and another machine drop the same elements.
#pragma once

#include <ATen/core/Tensor.h>

namespace setun {

// x where element i (in row-major order) survives, scaled by 1 / (1 - probability); else 0. An
// element survives with probability 1 - probability, which is in [0, 1). Differentiable in x.
at::Tensor dropout(const at::Tensor& x, double probability, uint64_t key);

}  // namespace setun
