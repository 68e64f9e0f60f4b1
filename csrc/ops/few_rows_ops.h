// Typed C++ calls of generation's operators: products of few rows, whose cost is reading the
// matrix, and the attention of one token over a cache. Without derivatives: with gradients on they
// refuse an argument that requires one. Schemas: ops/schemas.cpp. Kernels:
// ops/cpu/few_rows_kernels.h. Every result is equal bit for bit on every CPU path and thread count.
#pragma once

#include "ops/few_rows_limits.h"
#include "ops/ops.h"

namespace setun::ops {

// x + y in fp32: x fp32 [...], y fp32 or bf16 of its shape, widened as it is read (at::add makes a
// copy first).
at::Tensor add_residual(const at::Tensor& x, const at::Tensor& y);

// x W^T for at most kFewRows rows: x [..., K] and w [O, K] fp32 or bf16 each; products and sums in
// fp32 (docs/numerics.md has the order), rounded once to dtype, fp32 or bf16 -> [..., O].
at::Tensor few_rows_linear(const at::Tensor& x, const at::Tensor& w_OK, at::ScalarType dtype);

// x W^T of 8-bit codes as quantize_absmax_rows makes them, x's of a token and w's of an output:
// y = acc / (s_x s_w), acc exact in 32 bits, rounded once to dtype. x codes [..., K], any number of
// rows; w codes [O, K] -> [..., O].
at::Tensor int8_linear(const RowCodes& x, const RowCodes& w, at::ScalarType dtype);

// One token's attention, softmax(q K^T / sqrt(head_dim)) V, after its key and value were written
// behind `length` positions of the cache: q [B, heads, 1, head_dim], k, v [B, kv_heads, 1,
// head_dim], keys and values [B, kv_heads, capacity, head_dim], all of one type, fp32 or bf16;
// key heads are shared by heads / kv_heads queries -> [B, 1, heads * head_dim] of that type.
at::Tensor cached_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            at::Tensor& keys, at::Tensor& values, int64_t length);

}  // namespace setun::ops
