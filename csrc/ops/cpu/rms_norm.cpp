// CPU kernels of RMSNorm (formulas in norm_impl.h): rows over threads. The gain's gradient is
// summed over fixed blocks of rows, each in order, then over the blocks in order: the same for any
// number of threads.
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <algorithm>

#include "ops/checks.h"
#include "ops/cpu/element_rows.h"
#include "ops/cpu/step_kernels.h"

namespace setun::ops::cpu {
namespace {

using OptionalTensor = std::optional<at::Tensor>;

constexpr int64_t kRowBlock = 64;  // rows whose gain gradients are added by one task, in order

const float* data_or_null(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.const_data_ptr<float>() : nullptr;
}

at::Tensor contiguous(const OptionalTensor& tensor) {
  return tensor && tensor->defined() ? tensor->contiguous() : at::Tensor();
}

std::tuple<at::Tensor, at::Tensor> rms_norm_forward(const at::Tensor& x_in,
                                                    const OptionalTensor& gain_in, double eps) {
  check_rms_norm(x_in, gain_in, eps);
  const InRows x(as_elements(x_in));
  const at::Tensor gain = contiguous(gain_in);
  const auto fp32 = x_in.options().dtype(at::kFloat);
  at::Tensor y = at::empty(x_in.sizes(), fp32), factor = at::empty({x.count()}, fp32);
  const float* g = data_or_null(gain);
  auto *out = y.data_ptr<float>(), *f = factor.data_ptr<float>();
  const int64_t k = x.width();
  const StepKernels& kernels = step_kernels();
  for_rows(x.count(), k,
           [&](int64_t row) { f[row] = kernels.rms_norm(x[row], g, k, eps, out + row * k); });
  return {y, factor};
}

std::tuple<at::Tensor, at::Tensor> rms_norm_backward(const at::Tensor& grad_in,
                                                     const at::Tensor& x_in,
                                                     const OptionalTensor& gain_in,
                                                     const at::Tensor& factor) {
  TORCH_CHECK(grad_in.sizes() == x_in.sizes() && factor.numel() * x_in.size(-1) == x_in.numel(),
              "rms_norm_backward: grad ", grad_in.sizes(), ", x ", x_in.sizes(), ", factor ",
              factor.sizes());
  const at::Tensor x_elements = as_elements(x_in), gain = contiguous(gain_in);
  const InRows grad(as_elements(grad_in)), x(x_elements);
  const int64_t k = x.width(), rows = x.count(), blocks = (rows + kRowBlock - 1) / kRowBlock;
  const auto fp32 = x_in.options().dtype(at::kFloat);
  at::Tensor grad_x = at::empty(x_in.sizes(), x_elements.options());
  at::Tensor partial =
      gain.defined() ? at::zeros({std::max<int64_t>(blocks, 1), k}, fp32) : at::Tensor();
  const OutRows out(grad_x);
  const float *g = data_or_null(gain), *f = factor.const_data_ptr<float>();
  float* dg = gain.defined() ? partial.data_ptr<float>() : nullptr;
  const StepKernels& kernels = step_kernels();
  at::parallel_for(0, blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin * kRowBlock; row < std::min(rows, end * kRowBlock); ++row) {
      kernels.rms_norm_backward(grad[row], x[row], g, f[row], k, out[row].data,
                                dg == nullptr ? nullptr : dg + row / kRowBlock * k);
    }
  });
  for (int64_t block = 1; dg != nullptr && block < blocks; ++block) {
    for (int64_t i = 0; i < k; ++i) {
      dg[i] += dg[block * k + i];
    }
  }
  return {grad_x.to(x_in.scalar_type()),
          gain.defined() ? partial[0].clone() : at::empty({0}, fp32)};
}

}  // namespace

TORCH_LIBRARY_IMPL(setun, CPU, m) {
  m.impl("rms_norm_forward", rms_norm_forward);
  m.impl("rms_norm_backward", rms_norm_backward);
}

}  // namespace setun::ops::cpu
