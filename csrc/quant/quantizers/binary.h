// BiBERT's attention between sign vectors. No gradients, and no recipe uses it yet.
#pragma once

#include <ATen/core/Tensor.h>

namespace setun {

struct BiAttention {
  at::Tensor scores;  // fp32 [M, N]
  at::Tensor probs;   // int8 [M, N], 0 or 1
};

// BiBERT (2203.06390): scores = sign(q) sign(k)^T / sqrt(d), sign(0) = 1; probs = 1 where a score
// is positive. q [M, d], k [N, d].
BiAttention bi_attention(const at::Tensor& q, const at::Tensor& k);

}  // namespace setun
