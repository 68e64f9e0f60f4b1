// Masks of bits, one word for 32 columns: packing a byte mask, and the gradient behind a mask (the
// straight-through estimator of sparsity, Q-Sparse 2407.10969 eq. 4).
#pragma once

#include "runtime.h"

namespace setun::cuda {

struct PackMaskParams {
  const uint8_t* keep;  // [rows, columns], 0 or 1
  int64_t rows, columns;
  uint32_t* bits;  // [rows, ceil(columns / 32)], bit i of a word is column i; 0 behind the last
};
cudaError_t pack_mask(const PackMaskParams& p, cudaStream_t stream);

// dx = dy where a mask bit is set, else 0.
struct MaskedParams {
  const void* dy;  // [rows, columns] fp32 or bf16
  bool is_bf16;
  const uint32_t* bits;  // as pack_mask writes them
  int64_t rows, columns;
  void* dx;  // of dy's type
};
cudaError_t apply_mask(const MaskedParams& p, cudaStream_t stream);

}  // namespace setun::cuda
