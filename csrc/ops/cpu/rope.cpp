// CPU kernel of the rotary embedding: tokens over threads, the heads of a token by one call.
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include "ops/cpu/element_rows.h"
#include "ops/cpu/step_kernels.h"
#include "ops/step_checks.h"

namespace setun::ops::cpu {
namespace {

at::Tensor rope(const at::Tensor& x_in, const at::Tensor& cos_in, const at::Tensor& sin_in,
                bool inverse) {
  check_rope(x_in, cos_in, sin_in);
  const at::Tensor x = x_in.stride(3) == 1 ? x_in : x_in.contiguous();
  const at::Tensor cos = cos_in.contiguous(), sin = sin_in.contiguous();
  at::Tensor y = at::empty_like(x);  // x's strides: attention reads a transposed view as it is
  if (y.stride(3) != 1) {
    y = at::empty(x.sizes(), x.options());
  }
  const int64_t heads = x.size(1), time = x.size(2), half = x.size(3) / 2;
  const int64_t bytes = x.element_size();
  const auto* in = static_cast<const char*>(x.const_data_ptr());
  auto* out = static_cast<char*>(y.data_ptr());
  const auto *c = cos.const_data_ptr<float>(), *s = sin.const_data_ptr<float>();
  const StepKernels& kernels = step_kernels();
  for_rows(x.size(0) * time, heads * x.size(3), [&](int64_t token) {
    const int64_t b = token / time, t = token % time;
    const Rotation rotation{c + t * half, s + t * half, inverse ? -1.0F : 1.0F, half};
    kernels.rotate({in + (b * x.stride(0) + t * x.stride(2)) * bytes, element_of(x)}, x.stride(1),
                   rotation, heads, out + (b * y.stride(0) + t * y.stride(2)) * bytes, y.stride(1));
  });
  return y;
}

}  // namespace

TORCH_LIBRARY_IMPL(setun, CPU, m) { m.impl("rope", rope); }

}  // namespace setun::ops::cpu
