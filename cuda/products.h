// Products of quantized activations and packed ternary weights, y = A W^T with A [m, k] of int8 or
// int4 codes and W [n, k] ternary, accumulated in int32 and dequantized where they are stored:
//   v = sum over groups g, in order, of float(acc_g) * weight_scale;  y = v / s or v * s (+
//   residual)
// The packed codes are ternary + 1, so acc_g = sum a (w + 1) - sum a, the row sums of the
// quantizer. |acc| <= 2 * 128 * k, which int32 holds for any k below 8 million.
// Source of the fragment layouts: PTX ISA, mma.m16n8k32 and mma.m16n8k64.
#pragma once

#include "runtime.h"

namespace setun::cuda {

struct ProductParams {
  int m, n, k;
  const int8_t* a8;           // [m, a8_stride] codes, zeros from column k on; or null
  int64_t a8_stride;          // a multiple of 64, at least k; the address is aligned to 16
  const uint32_t* a4;         // int4 words of layouts.h, or null
  const int32_t* sums;        // [m, groups] sums of the codes
  const uint32_t* w;          // ternary words of layouts.h
  int group;                  // columns of a weight scale, a multiple of 64; 0 for the whole row
  const float* weight_scale;  // [weight_stride n + g]
  int weight_stride;          // 0: one scale for the tensor; else groups a row
  const float* token_scale;   // [m]
  bool token_divides;         // the scale is a multiplier (absmax): y = v / s
  const float* residual;      // [m, out_stride] added to y, or null
  void* out;                  // [m, out_stride] fp32 or bf16
  bool out_bf16;
  int64_t out_stride;
  int32_t* accumulators;  // [m, n], or null; only without groups
};

// m <= kMaxVectorRows, int8: dp4a, the columns of a row over all warps of a block.
inline constexpr int kMaxVectorRows = 16;
cudaError_t ternary_vector_product(const ProductParams& p, cudaStream_t stream);

// Any m: tensor cores. int4 goes through the int8 instruction, or through mma.m16n8k64.s4 with
// native_int4, which is one instruction on sm_80 to sm_89 and about 190 on later architectures.
cudaError_t ternary_matrix_product(const ProductParams& p, bool native_int4, cudaStream_t stream);

// The values of sums that another library has left in p.accumulators (sum a w, not a (w + 1)), with
// one group; reads neither codes nor words nor p.sums.
cudaError_t dequantize_product(const ProductParams& p, cudaStream_t stream);

}  // namespace setun::cuda
