// What top-K sparsity needs beside ops::topk_mask: how many features stay, and Q-Sparse's optional
// rescaling (2407.10969 section 2, which names it without a formula; ours is the ratio of L2
// norms).
#pragma once

#include <ATen/core/Tensor.h>

namespace setun {

// max(1, floor(fraction * features)), with 1e-9 for products that miss an integer by a rounding.
// fraction in (0, 1].
int64_t kept_features(double fraction, int64_t features);

// ||x|| / ||x * mask|| for every vector of the last dimension: fp32 [..., 1], 1 where x * mask is
// zero. x [..., K], mask bool [..., K]. A constant: no gradient flows through it.
at::Tensor l2_rescale_factor(const at::Tensor& x, const at::Tensor& mask);

}  // namespace setun
