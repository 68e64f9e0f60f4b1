// AdamW (1711.05101 algorithm 2) on a latent weight and, from the values it has just written, what
// the next step's forward pass needs: the absmean scale, codes and words. The factors are computed
// by the caller in double and rounded once, as csrc/ops/cpu/optimizer_impl.h has them:
//   g' = c g;  m += (1 - b1) (g' - m);  v = b2 v + (1 - b2) g' g'
//   w = d w - a m / (r sqrt(v) + eps),  d = 1 - lr wd, a = lr / (1 - b1^t), r = 1 / sqrt(1 - b2^t)
// The weight is read once more only to be encoded; its sum of magnitudes is taken on the way.
#pragma once

#include "runtime.h"
#include "weights.h"

namespace setun::cuda {

struct AdamWParams {
  float* w;  // [rows, columns]
  const float* grad;
  float *m, *v;
  int64_t rows, columns;
  const float* factors;  // on the device: c, d, a, r, eps, 1 - b1, b2, 1 - b2
  float* partial;        // weight_workspace() floats
};

// The update alone; partial receives the sums of |w| of blocks of 4096.
cudaError_t adamw(const AdamWParams& p, cudaStream_t stream);

// The update, then the absmean scale and codes of the new weight.
struct AdamWTernaryParams {
  AdamWParams update;
  int64_t group;
  float eps;         // of the absmean
  float* scale;      // [groups]
  int8_t* codes;     // or null
  uint32_t* packed;  // or null
};
cudaError_t adamw_ternary(const AdamWTernaryParams& p, cudaStream_t stream);

}  // namespace setun::cuda
