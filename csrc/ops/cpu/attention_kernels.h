// Torch-free kernels of causal attention over one head, out = softmax(scale q k^T) v, and of its
// gradients (the recomputation from the row's log-sum-exp is FlashAttention-2's, 2307.08691
// algorithm 2). fp32 arithmetic on rows of fp32 or bf16; a block of kQueryBlock queries keeps its
// scores whole, so that the softmax is the plain one and no sum is rescaled. Built once for each
// instruction set from attention_impl.h: the bits are equal on the paths that multiply and add in
// one rounding (AVX2, AVX-512), and those of the portable path within rounding of them.
// Deliberately absent: dropout, additive masks, keys behind the query.
#pragma once

#include "ops/cpu/elements.h"

namespace setun::ops::cpu {

inline constexpr int64_t kQueryBlock = 32;

// `stride` elements from row to row.
struct InMatrix {
  const void* data;
  Element type;
  int64_t stride;
};

struct OutMatrix {
  void* data;
  Element type;
  int64_t stride;
};

// Query t sees the keys first[t] .. keys - queries + t.
struct AttentionShape {
  int64_t queries, keys, dim;
  const int64_t* first;  // of each query; null: 0
  float scale;
};

// What one query head adds to the gradients of its key head.
struct AttentionHead {
  InMatrix q, out, d_out;
  const float* lse;  // of each query
  OutMatrix dq;
};

struct AttentionKernels {
  // Elements of scratch memory that the two calls below want.
  int64_t (*forward_scratch)(const AttentionShape& shape);
  int64_t (*backward_scratch)(const AttentionShape& shape);
  // lse[t] = log(sum over t's keys of exp(scale q_t k)).
  void (*forward)(const AttentionShape& shape, InMatrix q, InMatrix k, InMatrix v, OutMatrix out,
                  float* lse, float* scratch);
  // The query heads that share one key head, `heads` of them, in that order.
  void (*backward)(const AttentionShape& shape, InMatrix k, InMatrix v, const AttentionHead* head,
                   int64_t heads, OutMatrix dk, OutMatrix dv, float* scratch);
};

const AttentionKernels& attention_kernels();  // of base/cpu_features' cpu_path()
const AttentionKernels& attention_kernels_scalar();
const AttentionKernels& attention_kernels_avx2();
const AttentionKernels& attention_kernels_avx512();

}  // namespace setun::ops::cpu
