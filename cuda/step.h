// The rotary embedding and the gated activations, with the operations of csrc/ops/cpu (rope_impl.h,
// gated_impl.h), so that results have the CPU kernels' bits. No derivative of the angles.
#pragma once

#include "runtime.h"

namespace setun::cuda {

// (x_i, x_{i + half}) -> (x_i cos - x_{i + half} s, x_{i + half} cos + x_i s), s = direction sin.
struct RopeParams {
  const void* x;  // [batch, heads, time, 2 half] fp32 or bf16, dense along the last dimension
  void* y;        // of x's type
  bool is_bf16;
  int64_t batch, heads, time;
  int half;
  int64_t x_batch, x_head, x_time;  // strides in elements
  int64_t y_batch, y_head, y_time;
  const float *cos, *sin;  // [time, half]
  float direction;         // 1, or -1 for the inverse
};
cudaError_t rope(const RopeParams& p, cudaStream_t stream);

enum class GatedRule : int { kSilu, kRelu2 };

// y = act(gate) up; or, with dy, the gradients d_gate and d_up. Everything [count] of one type.
struct GatedParams {
  const void *gate, *up, *dy;
  bool is_bf16;
  GatedRule rule;
  int64_t count;
  void* y;
  void *d_gate, *d_up;
};
cudaError_t gated_activation(const GatedParams& p, cudaStream_t stream);
cudaError_t gated_backward(const GatedParams& p, cudaStream_t stream);

}  // namespace setun::cuda
