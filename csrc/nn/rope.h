// Rotary position embedding, half-split pairing: element i pairs with i + d/2, angle position *
// base^(-2i/d).
#pragma once

#include <ATen/core/Tensor.h>

namespace setun {

struct Rope {
  at::Tensor cos_TD;  // fp32 [T, head_dim / 2]
  at::Tensor sin_TD;
};

// Tables for positions first .. first + count - 1.
Rope make_rope(int64_t first, int64_t count, int64_t head_dim, double base);

// Rows of make_rope's tables that were made before: every step of training reads the same ones, a
// token of generation one, and making it costs a dozen operators. Of one (head_dim, base).
class RopeTable {
 public:
  // make_rope(first, count, head_dim, base) on a device. The table doubles when it is too short.
  Rope rows(int64_t first, int64_t count, int64_t head_dim, double base, at::Device device);

 private:
  Rope table_;
  double base_ = 0;
};

// x_BHTD [B, H, T, head_dim] -> rotated, same dtype; fp32 inside (ops::rope). Differentiable.
at::Tensor apply_rope(const at::Tensor& x_BHTD, const Rope& rope);

}  // namespace setun
