// Quantizers of 1-bit models beside the weights: BiBERT's attention, BitNet b1's activations. No
// gradients.
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

// BitNet b1's activations (2310.11453 eq. 4-6), which are not rounded, with g = max|x| of the
// tensor: clip(x Qb / g, -Qb + eps, Qb - eps); shifted (inputs of nonlinearities): clip((x - min x)
// Qb / g, eps, Qb - eps). fp32; a zero tensor counts as g = 1.
at::Tensor b1_activation(const at::Tensor& x, double qb, double eps, bool shifted);

}  // namespace setun
