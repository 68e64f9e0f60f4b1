// CPU kernels of LayerNorm without affine: c = x - mean(x), y = c f with f RMSNorm's factor of c,
// 1 / sqrt(mean(c^2) + eps). Its derivative: dx = f (dy - mean(dy) - y mean(dy y)).
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <algorithm>

#include "ops/checks.h"
#include "ops/cpu/row_kernels.h"

namespace setun::ops::cpu {
namespace {

int64_t rows_per_task(int64_t k) { return std::max<int64_t>(1, 32768 / k); }

std::tuple<at::Tensor, at::Tensor> layer_norm_forward(const at::Tensor& x_in, double eps) {
  check_layer_norm(x_in, eps);
  const at::Tensor x = x_in.to(at::kFloat).contiguous();
  const int64_t k = x.size(-1), rows = x.numel() / k;
  at::Tensor y = at::empty(x.sizes(), x.options());
  at::Tensor factor = at::empty({rows}, x.options());
  const auto* in = x.const_data_ptr<float>();
  auto* out = y.data_ptr<float>();
  auto* f = factor.data_ptr<float>();
  const RowKernels& kernels = row_kernels();
  at::parallel_for(0, rows, rows_per_task(k), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      float* centred = out + row * k;
      kernels.subtract_mean(in + row * k, k, centred);
      f[row] = kernels.rms_factor(centred, k, eps);
      kernels.scale_row(centred, nullptr, k, f[row], centred);
    }
  });
  return {y, factor};
}

at::Tensor layer_norm_backward(const at::Tensor& grad_in, const at::Tensor& y_in,
                               const at::Tensor& factor) {
  const at::Tensor grad = grad_in.to(at::kFloat).contiguous();
  const at::Tensor y = y_in.contiguous();
  TORCH_CHECK(grad.sizes() == y.sizes() && factor.numel() * y.size(-1) == y.numel(),
              "layer_norm_backward: grad ", grad.sizes(), ", y ", y.sizes(), ", factor ",
              factor.sizes());
  const int64_t k = y.size(-1), rows = y.numel() / k;
  at::Tensor grad_x = at::empty(y.sizes(), y.options());
  const auto* dy = grad.const_data_ptr<float>();
  const auto* out = y.const_data_ptr<float>();
  const auto* f = factor.const_data_ptr<float>();
  auto* dx = grad_x.data_ptr<float>();
  const RowKernels& kernels = row_kernels();
  at::parallel_for(0, rows, rows_per_task(k), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      float* to = dx + row * k;
      kernels.subtract_mean(dy + row * k, k, to);
      const float mean =
          kernels.dot3(dy + row * k, nullptr, out + row * k, k) / static_cast<float>(k);
      for (int64_t i = 0; i < k; ++i) {
        to[i] = f[row] * (to[i] - out[row * k + i] * mean);
      }
    }
  });
  return grad_x;
}

}  // namespace

TORCH_LIBRARY_IMPL(setun, CPU, m) {
  m.impl("layer_norm_forward", layer_norm_forward);
  m.impl("layer_norm_backward", layer_norm_backward);
}

}  // namespace setun::ops::cpu
