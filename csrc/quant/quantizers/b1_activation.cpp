#include "quant/quantizers/b1_activation.h"

#include <ATen/ops/abs.h>
#include <ATen/ops/amax.h>
#include <ATen/ops/amin.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>

#include <vector>

namespace setun {

B1Activation quantize_b1(const at::Tensor& x, int64_t bits, double eps, bool shifted,
                         bool whole_tensor) {
  const at::Tensor wide = x.to(at::kFloat);
  std::vector<int64_t> over = {-1};
  if (whole_tensor) {
    over.clear();
    for (int64_t dim = 0; dim < wide.dim(); ++dim) {
      over.push_back(dim);
    }
  }
  const auto range = static_cast<double>(int64_t{1} << (bits - 1));
  const at::Tensor gamma = wide.abs().amax(over, /*keepdim=*/true);
  const at::Tensor multiplier = at::where(gamma.eq(0), at::zeros_like(gamma), range / gamma);
  B1Activation q;
  q.step = gamma / range;
  if (!shifted) {
    q.levels = wide.mul(multiplier).clamp_(eps - range, range - eps);
    return q;
  }
  q.shift = wide.amin(over, /*keepdim=*/true);
  q.levels = wide.sub(q.shift).mul_(multiplier).clamp_(eps, range - eps);
  return q;
}

at::Tensor dequantize_b1(const B1Activation& q) {
  at::Tensor value = q.levels.mul(q.step);
  return q.shift.defined() ? value.add_(q.shift) : value;
}

}  // namespace setun
