#include "nn/rope.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/sin.h>

#include <algorithm>

#include "base/error.h"
#include "ops/devices.h"
#include "ops/step_ops.h"

namespace setun {

Rope make_rope(int64_t first, int64_t count, int64_t head_dim, double base) {
  SETUN_ASSERT(head_dim % 2 == 0, "head_dim ", head_dim);
  const auto options =
      at::TensorOptions().dtype(at::kDouble);  // angles reach max_context: fp32 would blur them
  const at::Tensor exponents = at::arange(0, head_dim, 2, options).div_(-head_dim);
  const at::Tensor positions = at::arange(first, first + count, options);
  const at::Tensor angles = at::outer(positions, at::pow(base, exponents));
  return {at::cos(angles).to(at::kFloat), at::sin(angles).to(at::kFloat)};
}

Rope RopeTable::rows(int64_t first, int64_t count, int64_t head_dim, double base,
                     at::Device device) {
  const int64_t made = table_.cos_TD.defined() ? table_.cos_TD.size(0) : 0;
  SETUN_ASSERT(made == 0 || (base_ == base && table_.cos_TD.size(1) == head_dim / 2),
               "a rotary table of base ", base_, " asked for base ", base);
  if (made < first + count || table_.cos_TD.device() != device) {
    const Rope host = make_rope(0, std::max(first + count, 2 * made), head_dim, base);
    table_ = {ops::to_device(host.cos_TD, device), ops::to_device(host.sin_TD, device)};
    base_ = base;
  }
  return {table_.cos_TD.narrow(0, first, count), table_.sin_TD.narrow(0, first, count)};
}

at::Tensor apply_rope(const at::Tensor& x_BHTD, const Rope& rope) {
  SETUN_ASSERT(
      x_BHTD.size(-1) == 2 * rope.cos_TD.size(-1) && x_BHTD.size(-2) == rope.cos_TD.size(0),
      "rope tables ", rope.cos_TD.sizes(), " do not fit ", x_BHTD.sizes());
  return ops::rope(x_BHTD, rope.cos_TD, rope.sin_TD, /*inverse=*/false);
}

}  // namespace setun
