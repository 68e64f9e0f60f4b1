// CPU kernels of the key-value cache's quantizers, symmetric and by range.
#include <torch/library.h>

#include <cmath>
#include <limits>

#include "ops/checks.h"
#include "ops/cpu/row_kernels.h"
#include "ops/cpu/rows.h"

namespace setun::ops::cpu {
namespace {

float symmetric_step(const RowKernels& kernels, const float* row, int64_t k, float high,
                     double eps) {
  const float largest = kernels.abs_max(row, k);
  const auto floor = static_cast<float>(eps);
  return (largest < floor ? floor : largest) / high;  // a NaN maximum stays NaN
}

std::tuple<at::Tensor, at::Tensor> quantize_kv(const at::Tensor& h, int64_t bits, double eps) {
  check_absmax("quantize_kv", h, bits, eps);
  const float high = largest_code(bits);
  const RowKernels& kernels = row_kernels();
  return quantize_rows(h, [&](const float* row, int64_t k, int8_t* codes) {
    const float step = symmetric_step(kernels, row, k, high, eps);
    kernels.encode_affine(row, k, 0, step, -high - 1, high, reinterpret_cast<uint8_t*>(codes));
    return step;
  });
}

at::Tensor fake_quantize_kv(const at::Tensor& h, int64_t bits, double eps) {
  check_absmax("fake_quantize_kv", h, bits, eps);
  const float high = largest_code(bits);
  const RowKernels& kernels = row_kernels();
  return transform_rows(h, [&](const float* row, int64_t k, float* out) {
    const float step = symmetric_step(kernels, row, k, high, eps);
    kernels.fake_affine(row, k, 0, step, -high - 1, high, out);
  });
}

struct Grid {
  float minimum, step;
};

Grid range_grid(const RowKernels& kernels, const float* row, int64_t k, float levels, double eps) {
  float low = 0, high = 0;
  kernels.min_max(row, k, &low, &high);
  const float range = high - low;
  const auto floor = static_cast<float>(eps);
  if (!std::isfinite(range)) {
    return {low, std::numeric_limits<float>::quiet_NaN()};
  }
  return {low, (range < floor ? floor : range) / levels};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> quantize_kv_asymmetric(const at::Tensor& h_in,
                                                                      int64_t bits, double eps) {
  check_absmax("quantize_kv_asymmetric", h_in, bits, eps);
  const at::Tensor h = as_fp32(h_in);
  at::Tensor codes = at::empty(h.sizes(), h.options().dtype(at::kByte));
  at::Tensor scale = empty_per_row(h, at::kFloat), minimum = empty_per_row(h, at::kFloat);
  const int64_t k = h.size(-1);
  const auto high = static_cast<float>((1 << bits) - 1);
  const auto* in = h.const_data_ptr<float>();
  auto* code = codes.data_ptr<uint8_t>();
  auto *step = scale.data_ptr<float>(), *low = minimum.data_ptr<float>();
  const RowKernels& kernels = row_kernels();
  for_each_row(h, [&](int64_t row) {
    const Grid grid = range_grid(kernels, in + row * k, k, high, eps);
    step[row] = grid.step;
    low[row] = grid.minimum;
    kernels.encode_affine(in + row * k, k, grid.minimum, grid.step, 0, high, code + row * k);
  });
  return {codes, scale, minimum};
}

at::Tensor fake_quantize_kv_asymmetric(const at::Tensor& h, int64_t bits, double eps) {
  check_absmax("fake_quantize_kv_asymmetric", h, bits, eps);
  const auto high = static_cast<float>((1 << bits) - 1);
  const RowKernels& kernels = row_kernels();
  return transform_rows(h, [&](const float* row, int64_t k, float* out) {
    const Grid grid = range_grid(kernels, row, k, high, eps);
    kernels.fake_affine(row, k, grid.minimum, grid.step, 0, high, out);
  });
}

}  // namespace

TORCH_LIBRARY_IMPL(setun, CPU, m) {
  m.impl("quantize_kv", quantize_kv);
  m.impl("fake_quantize_kv", fake_quantize_kv);
  m.impl("quantize_kv_asymmetric", quantize_kv_asymmetric);
  m.impl("fake_quantize_kv_asymmetric", fake_quantize_kv_asymmetric);
}

}  // namespace setun::ops::cpu
