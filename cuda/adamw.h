// AdamW (1711.05101 algorithm 2) on a latent weight and, from the values it has just written, what
// the next step's forward pass needs: the absmean scale, codes and words. With g = grad_scale grad:
//   w *= 1 - lr wd;  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;
//   w -= (lr / (1 - b1^t)) m / (sqrt(v) / sqrt(1 - b2^t) + eps)
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
  float grad_scale;  // 1, or what clipping multiplies by
  float lr, weight_decay, beta1, beta2, eps;
  float bias1, root_bias2;  // 1 - b1^t, sqrt(1 - b2^t)
  float* partial;           // weight_workspace() floats
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
