// Weight quantizers: a scale per tensor, row or group, then codes. Formulas and order of
// operations: docs/numerics.md (absmean, stochastic absmean, binary). Latent weights w [rows,
// columns], row major; a group is `group` consecutive columns of a row, group = 0 the whole tensor,
// and scale[group index] its scale.
#pragma once

#include "runtime.h"

namespace setun::cuda {

enum class WeightRule : int { kAbsmean, kAbsmeanStochastic, kBinary };

struct WeightScaleParams {
  const void* w;
  bool is_bf16;
  int64_t rows, columns;
  int64_t group;    // 0, or a divisor of columns, at most 131072
  WeightRule rule;  // absmean: max(mean |w|, eps); binary: mean |w|
  float eps;
  float* scale;    // [groups]; NaN for a group with a value that is not finite
  float* centre;   // [groups] mean w, for kBinary; else unused
  float* partial;  // workspace of weight_workspace() floats, when group = 0
};
int64_t weight_workspace(int64_t elements);
cudaError_t weight_scale(const WeightScaleParams& p, cudaStream_t stream);
// The same when partial already holds the sums of the blocks (group = 0).
cudaError_t weight_scale_of_partial(const WeightScaleParams& p, cudaStream_t stream);

struct TernaryParams {
  const void* w;
  bool is_bf16;
  int64_t rows, columns, group;
  WeightRule rule;
  const float* scale;
  const float* centre;  // of kBinary
  const float* draws;   // [rows, columns] uniform numbers, of kAbsmeanStochastic
  int8_t* codes;        // [rows, columns], or null
  uint32_t* packed;     // words of layouts.h, or null
};
cudaError_t ternary_codes(const TernaryParams& p, cudaStream_t stream);

// Codes [rows, columns] to words, of the matrix or of its transpose.
struct PackParams {
  const int8_t* codes;
  int64_t rows, columns;
  bool transpose;  // pack [columns, rows]
  uint32_t* packed;
};
cudaError_t pack_ternary(const PackParams& p, cudaStream_t stream);

// Words back to codes, as bf16, int8 or fp32 [rows, columns]: operands of a library's product.
struct UnpackParams {
  const uint32_t* packed;
  int64_t rows, columns;
  bf16* as_bf16;    // or null
  int8_t* as_int8;  // or null
  float* as_fp32;   // or null
};
cudaError_t unpack_ternary(const UnpackParams& p, cudaStream_t stream);

// Words of a matrix to those of its transpose, [columns, rows].
struct TransposeParams {
  const uint32_t* packed;
  int64_t rows, columns;
  uint32_t* transposed;
};
cudaError_t transpose_ternary(const TransposeParams& p, cudaStream_t stream);

// How many codes are -1, 0 and 1; added to counts, which start at 0.
struct CountParams {
  const uint32_t* packed;
  int64_t rows, columns;
  unsigned long long* counts;  // [3]
};
cudaError_t count_codes(const CountParams& p, cudaStream_t stream);

}  // namespace setun::cuda
