// CPU kernels of LayerNorm without affine (formulas in norm_impl.h): rows over threads.
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <tuple>

#include "ops/checks.h"
#include "ops/cpu/element_rows.h"
#include "ops/cpu/step_kernels.h"

namespace setun::ops::cpu {
namespace {

std::tuple<at::Tensor, at::Tensor> layer_norm_forward(const at::Tensor& x_in, double eps) {
  check_layer_norm(x_in, eps);
  const InRows x(as_elements(x_in));
  const auto fp32 = x_in.options().dtype(at::kFloat);
  at::Tensor y = at::empty(x_in.sizes(), fp32), factor = at::empty({x.count()}, fp32);
  auto *out = y.data_ptr<float>(), *f = factor.data_ptr<float>();
  const int64_t k = x.width();
  const StepKernels& kernels = step_kernels();
  for_rows(x.count(), k,
           [&](int64_t row) { f[row] = kernels.layer_norm(x[row], k, eps, out + row * k); });
  return {y, factor};
}

at::Tensor layer_norm_backward(const at::Tensor& grad_in, const at::Tensor& y_in,
                               const at::Tensor& factor, at::ScalarType type) {
  TORCH_CHECK(grad_in.sizes() == y_in.sizes() && factor.numel() * y_in.size(-1) == y_in.numel(),
              "layer_norm_backward: grad ", grad_in.sizes(), ", y ", y_in.sizes(), ", factor ",
              factor.sizes());
  const at::Tensor y = y_in.contiguous();
  const InRows grad(as_elements(grad_in));
  const bool low = type == at::kBFloat16;
  at::Tensor grad_x = at::empty(y.sizes(), y.options().dtype(low ? at::kBFloat16 : at::kFloat));
  const OutRows out(grad_x);
  const auto *normed = y.const_data_ptr<float>(), *f = factor.const_data_ptr<float>();
  const int64_t k = y.size(-1);
  const StepKernels& kernels = step_kernels();
  for_rows(grad.count(), k, [&](int64_t row) {
    kernels.layer_norm_backward(grad[row], normed + row * k, f[row], k, out[row]);
  });
  return grad_x.to(type);
}

}  // namespace

TORCH_LIBRARY_IMPL(setun, CPU, m) {
  m.impl("layer_norm_forward", layer_norm_forward);
  m.impl("layer_norm_backward", layer_norm_backward);
}

}  // namespace setun::ops::cpu
