// CPU kernels of RMSNorm. With f = 1 / sqrt(mean(x^2) + eps) and y = x f g:
//   dx = f (g dy - (x f) mean(g dy (x f)));   dg = sum over rows of dy (x f).
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <algorithm>

#include "ops/checks.h"
#include "ops/cpu/row_kernels.h"

namespace setun::ops::cpu {
namespace {

constexpr int64_t kRowBlock = 64;  // rows whose gain gradients are added by one task, in order

const float* data_or_null(const std::optional<at::Tensor>& tensor) {
  return tensor && tensor->defined() ? tensor->const_data_ptr<float>() : nullptr;
}

std::optional<at::Tensor> contiguous(const std::optional<at::Tensor>& tensor) {
  return tensor && tensor->defined() ? std::optional(tensor->contiguous()) : std::nullopt;
}

std::tuple<at::Tensor, at::Tensor> rms_norm_forward(const at::Tensor& x_in,
                                                    const std::optional<at::Tensor>& gain_in,
                                                    double eps) {
  check_rms_norm(x_in, gain_in, eps);
  const at::Tensor x = x_in.to(at::kFloat).contiguous();
  const std::optional<at::Tensor> gain = contiguous(gain_in);
  const int64_t k = x.size(-1), rows = x.numel() / k;
  at::Tensor y = at::empty(x.sizes(), x.options());
  at::Tensor factor = at::empty({rows}, x.options());
  const float* in = x.const_data_ptr<float>();
  const float* g = data_or_null(gain);
  auto* out = y.data_ptr<float>();
  auto* f = factor.data_ptr<float>();
  const RowKernels& kernels = row_kernels();
  at::parallel_for(0, rows, std::max<int64_t>(1, 32768 / k), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      f[row] = kernels.rms_factor(in + row * k, k, eps);
      kernels.scale_row(in + row * k, g, k, f[row], out + row * k);
    }
  });
  return {y, factor};
}

void backward_row(const RowKernels& kernels, const float* dy, const float* x, const float* g,
                  float f, int64_t k, float* dx, float* dg) {
  const float mean = kernels.dot3(dy, g, x, k) * f / static_cast<float>(k);
  for (int64_t i = 0; i < k; ++i) {
    const float upstream = g == nullptr ? dy[i] : dy[i] * g[i];
    dx[i] = f * (upstream - x[i] * f * mean);
  }
  if (dg != nullptr) {
    for (int64_t i = 0; i < k; ++i) {
      dg[i] += dy[i] * (x[i] * f);
    }
  }
}

std::tuple<at::Tensor, at::Tensor> rms_norm_backward(const at::Tensor& grad_in,
                                                     const at::Tensor& x_in,
                                                     const std::optional<at::Tensor>& gain_in,
                                                     const at::Tensor& factor) {
  const at::Tensor grad = grad_in.to(at::kFloat).contiguous();
  const at::Tensor x = x_in.to(at::kFloat).contiguous();
  TORCH_CHECK(grad.sizes() == x.sizes() && factor.numel() * x.size(-1) == x.numel(),
              "rms_norm_backward: grad ", grad.sizes(), ", x ", x.sizes(), ", factor ",
              factor.sizes());
  const std::optional<at::Tensor> gain = contiguous(gain_in);
  const int64_t k = x.size(-1), rows = x.numel() / k;
  const int64_t blocks = (rows + kRowBlock - 1) / kRowBlock;
  at::Tensor grad_x = at::empty(x.sizes(), x.options());
  // One partial sum per block of rows, added below: the same order for any number of threads.
  at::Tensor partial =
      gain ? at::zeros({std::max<int64_t>(blocks, 1), k}, x.options()) : at::Tensor();
  const float* g = data_or_null(gain);
  const auto* dy = grad.const_data_ptr<float>();
  const auto* in = x.const_data_ptr<float>();
  const auto* f = factor.const_data_ptr<float>();
  auto* dx = grad_x.data_ptr<float>();
  float* dg = gain ? partial.data_ptr<float>() : nullptr;
  const RowKernels& kernels = row_kernels();
  at::parallel_for(0, blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      for (int64_t row = block * kRowBlock; row < std::min(rows, (block + 1) * kRowBlock); ++row) {
        backward_row(kernels, dy + row * k, in + row * k, g, f[row], k, dx + row * k,
                     dg == nullptr ? nullptr : dg + block * k);
      }
    }
  });
  for (int64_t block = 1; block < blocks; ++block) {
    for (int64_t i = 0; dg != nullptr && i < k; ++i) {
      dg[i] += dg[block * k + i];
    }
  }
  return {grad_x.to(x_in.scalar_type()), gain ? partial[0].clone() : at::empty({0}, x.options())};
}

}  // namespace

TORCH_LIBRARY_IMPL(setun, CPU, m) {
  m.impl("rms_norm_forward", rms_norm_forward);
  m.impl("rms_norm_backward", rms_norm_backward);
}

}  // namespace setun::ops::cpu
