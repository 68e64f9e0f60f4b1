// Everything that happens to a token's vector between the residual stream and a product, in one
// pass over memory: RMSNorm or LayerNorm, Hadamard transform, sparsity, quantization. Each stage is
// optional, so the same kernel is the single operators too (a Hadamard transform is its own
// backward). Formulas and order of operations: docs/numerics.md.
#pragma once

#include "runtime.h"

namespace setun::cuda {

enum class TokenRule : int {
  kNone,
  kAbsmax,   // scale is the multiplier s = Qp / max(max|x|, eps); value = code / s
  kAbsmean,  // s = sqrt(Qp) / (b + eps), b = multiplier mean|x|; scale is b / sqrt(Qp)
  kE2m1,     // code = 2 E2M1(6 x / max|x|); scale is max|x| / 12
  kStep,     // scale is the step max(max|x|, eps) / Qp; code = rne(x / step)
  kOffset,   // codes 0 to 2^bits - 1 of x - min x, scale max(max x - min x, eps) / (2^bits - 1)
  kAbsmaxStochastic,  // s as kAbsmax, code = floor(x s + u), u from (draw_key, row columns +
                      // column)
  kRoundE2m1          // value = E2M1(x): no code, no scale
};

struct TokenParams {
  const void* x;  // [rows, columns] fp32 or bf16
  bool is_bf16;
  int64_t rows;
  int columns;  // at most kMaxTokenColumns

  bool centre, norm;  // LayerNorm is both
  const float* gain;  // [columns] or null
  float norm_eps;
  int hadamard_block;  // a power of two that divides columns, at most 16384; 0 for none
  int keep, every;     // keeps the `keep` largest of every `every` columns; keep = 0 for all
  TokenRule rule;
  int bits;  // 2 to 8 for a rule with codes, else 0
  float multiplier, eps;
  uint64_t draw_key;          // of kAbsmaxStochastic: draws of base/counter_rng.h
  const float* column_scale;  // [columns] multiplied into x first, or null

  // Results; null when not wanted.
  float* dense;         // [rows, columns] after norm and transform, before sparsity
  float* factor;        // [rows] of the norm: 1 / sqrt(mean(x^2) + eps)
  void* fake;           // [rows, columns] dequantized, of x's type
  uint8_t* mask;        // [rows, columns] 1 where kept
  uint32_t* mask_bits;  // [rows, ceil(columns / 32)] the same, bit i of a word is column i
  int8_t* codes;        // [rows, code_stride]; zeros after the last column
  int64_t code_stride;
  uint32_t* int4;  // words of layouts.h
  float* scale;    // [rows]
  float* minimum;  // [rows] of kOffset
  int32_t* sums;   // [rows, groups] sums of codes
  int sum_group;   // columns of a sum, a multiple of 64; 0 for one sum a row
};

inline constexpr int kMaxTokenColumns = 49152;
inline constexpr int kMaxTokenSums = kMaxTokenColumns / 64;

cudaError_t transform_tokens(const TokenParams& p, cudaStream_t stream);

}  // namespace setun::cuda
