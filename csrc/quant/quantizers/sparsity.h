// Activation sparsity (Q-Sparse, 2407.10969 eq. 1-4; N:M: Block Q-Sparse): which of a token's
// inputs stay, and the factor that restores the token's length. Tokens are independent; ties go to
// the lowest index.
#pragma once

#include <ATen/core/Tensor.h>

#include "quant/linear_spec.h"

namespace setun {

struct SparsityMask {
  at::Tensor keep;  // bool, x's shape; undefined with kind none
  at::Tensor
      factor;  // fp32 [..., 1]: |x|_2 / |x * keep|_2, 1 for a zero token; undefined unless l2
};

// x [..., K]: the dense input, after its rotation. No gradient.
SparsityMask sparsity_mask(const at::Tensor& x, const SparsitySpec& spec);

// topk's features per token: max(1, floor(keep * width)).
int64_t kept_features(const SparsitySpec& spec, int64_t width);

}  // namespace setun
