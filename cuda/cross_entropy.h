// Loss and gradient of rows of logits in place, for a linear cross-entropy that goes through the
// rows in chunks: a chunk's logits are computed, turned into their gradient here, multiplied back,
// and overwritten by the next chunk. With m = max z and S = sum exp(z - m) (blocks of 4096, in
// order):
//   loss = log S + m - z_target;  dz = grad_scale (exp(z - m) (1 / S) - onehot(target))
// Rows of an ignored target have loss 0 and gradient 0; of a target that is no class, loss NaN. exp
// and log are polynomials with fixed operations, so the bits are the same on every route; each is
// within 2e-7 relative.
#pragma once

#include "runtime.h"

namespace setun::cuda {

struct CrossEntropyParams {
  void* logits;  // [rows, columns] fp32 or bf16; receives the gradient when `gradient` says so
  bool is_bf16;
  int64_t rows;
  int columns;             // at most kMaxClasses
  const int64_t* targets;  // [rows]
  int64_t ignored;
  float grad_scale;
  float* losses;  // [rows]
  bool gradient;
};

inline constexpr int kMaxClasses = 262144;

cudaError_t cross_entropy(const CrossEntropyParams& p, cudaStream_t stream);

}  // namespace setun::cuda
