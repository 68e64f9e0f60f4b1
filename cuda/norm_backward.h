// Derivatives of RMSNorm and LayerNorm, in the order of operations of the CPU operators.
// RMSNorm, y = x f g:  dx = f (g dy - (x f) mean(g dy (x f)));  dg = sum over rows of dy (x f)
// LayerNorm, y = (x - mean x) f:  dx = f ((dy - mean dy) - y mean(dy y))
#pragma once

#include "runtime.h"

namespace setun::cuda {

struct NormBackwardParams {
  bool layer_norm;
  const float* dy;      // [rows, columns]
  const float* x;       // RMSNorm's x, or LayerNorm's y
  const float* gain;    // [columns] or null
  const float* factor;  // [rows]
  int64_t rows;
  int columns;
  float* dx;
  float* gain_grad;  // [columns], with a gain
  float* partial;    // workspace of gain_workspace() floats, with a gain
};

int64_t gain_workspace(int64_t rows, int64_t columns);
cudaError_t norm_backward(const NormBackwardParams& p, cudaStream_t stream);

}  // namespace setun::cuda
