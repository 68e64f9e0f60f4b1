// Torch-free kernels of the parts of a training step that are no products: one pass over memory
// each, fp32 arithmetic, rows of fp32 or bf16 (elements.h). Built once for each instruction set
// from step_kernels_impl.h, as row_kernels.h is, and equal bit for bit on every path.
#pragma once

#include "ops/cpu/elements.h"
#include "ops/gated_kind.h"

namespace setun::ops::cpu {

// What rotates one token: its row of the tables and +1, or -1 for the inverse rotation.
struct Rotation {
  const float* cos;  // half elements, as sin
  const float* sin;
  float direction;
  int64_t half;
};

// What an AdamW update of one parameter multiplies with (optimizer_impl.h has the formula).
struct AdamWScalars {
  float clip, decay, rate, correction, eps;
  float first, beta2, second;  // 1 - beta1, beta2, 1 - beta2
};

struct StepKernels {
  // y = act(gate) * up, k elements of one type.
  void (*gated)(GatedKind kind, InRow gate, InRow up, int64_t k, void* y);
  // d gate and d up of it for the upstream gradient dy, all of one type.
  void (*gated_backward)(GatedKind kind, InRow dy, InRow gate, InRow up, int64_t k, void* d_gate,
                         void* d_up);
  // The heads of one token, each 2 * half elements of x's type, `stride` elements apart.
  void (*rotate)(InRow x, int64_t x_stride, const Rotation& rotation, int64_t heads, void* y,
                 int64_t y_stride);
  // y = x * f * gain (null: ones) with RMSNorm's factor f = 1 / sqrt(mean((x/m)^2) + eps/m^2) / m,
  // m = 1 unless max|x| > 1e18 or sum(x^2) overflows (then m = max|x|); returns f.
  float (*rms_norm)(InRow x, const float* gain, int64_t k, double eps, float* y);
  // dx of x's type; adds to d_gain, unless gain is null.
  void (*rms_norm_backward)(InRow dy, InRow x, const float* gain, float factor, int64_t k, void* dx,
                            float* d_gain);
  // y = (x - mean(x)) * f with RMSNorm's factor f of the difference; returns f.
  float (*layer_norm)(InRow x, int64_t k, double eps, float* y);
  void (*layer_norm_backward)(InRow dy, const float* y, float factor, int64_t k, OutRow dx);
  // Updates n parameters p and their moments m and v for the gradients g.
  void (*adamw)(const AdamWScalars& scalars, const float* g, int64_t n, float* p, float* m,
                float* v);
  // Sum of the squares of n values in double; not finite exactly when one of them is not.
  double (*square_sum)(const float* x, int64_t n);
  // -log softmax(z)[target] of k logits, 0 <= target < k.
  float (*cross_entropy)(InRow z, int64_t target, int64_t k);
  // The same, leaving the loss's derivative in place of the logits.
  float (*cross_entropy_gradient)(OutRow z, int64_t target, int64_t k);
  // y = codes / multiplier.
  void (*dequantize)(const int8_t* codes, int64_t k, float multiplier, OutRow y);
};

const StepKernels& step_kernels();  // of base/cpu_features' cpu_path()
const StepKernels& step_kernels_scalar();
const StepKernels& step_kernels_avx2();
const StepKernels& step_kernels_avx512();

}  // namespace setun::ops::cpu
