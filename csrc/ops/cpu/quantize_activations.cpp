// CPU kernels of the activation quantizers, one scale a token: absmax, absmean, E2M1.
#include <torch/library.h>

#include <cmath>

#include "ops/checks.h"
#include "ops/cpu/row_kernels.h"
#include "ops/cpu/rows.h"
#include "ops/cpu/statistics.h"

namespace setun::ops::cpu {
namespace {

using TensorPair = std::tuple<at::Tensor, at::Tensor>;

float absmax_multiplier(const RowKernels& kernels, const float* row, int64_t k, float high,
                        double eps) {
  const float largest = kernels.abs_max(row, k);
  const auto floor = static_cast<float>(eps);
  return high / (largest < floor ? floor : largest);  // a NaN maximum stays NaN
}

TensorPair quantize_absmax(const at::Tensor& x, int64_t bits, double eps) {
  check_absmax("quantize_absmax", x, bits, eps);
  const float high = largest_code(bits);
  const RowKernels& kernels = row_kernels();
  return quantize_rows(x, [&](const float* row, int64_t k, int8_t* codes) {
    const float multiplier = absmax_multiplier(kernels, row, k, high, eps);
    kernels.encode(row, k, multiplier, -high - 1, high, codes);
    return multiplier;
  });
}

at::Tensor fake_quantize_absmax(const at::Tensor& x, int64_t bits, double eps) {
  check_absmax("fake_quantize_absmax", x, bits, eps);
  const float high = largest_code(bits);
  const RowKernels& kernels = row_kernels();
  return transform_rows(x, [&](const float* row, int64_t k, float* out) {
    const float multiplier = absmax_multiplier(kernels, row, k, high, eps);
    kernels.fake_encode(row, k, multiplier, -high - 1, high, out);
  });
}

at::Tensor dequantize_absmax(const at::Tensor& codes, const at::Tensor& scale) {
  check_absmax_codes("dequantize_absmax", codes, scale);
  return codes.to(at::kFloat).div_(scale);
}

struct AbsmeanGrid {
  float multiplier, scale;
};

AbsmeanGrid absmean_grid(const RowKernels& kernels, const float* row, int64_t k, float high,
                         double factor, double eps) {
  const float mean = canonical_total(kernels.abs_sum, row, k, false) / static_cast<float>(k);
  const float b = static_cast<float>(factor) * mean, root = std::sqrt(high);
  return {root / (b + static_cast<float>(eps)), b / root};
}

TensorPair quantize_act_absmean(const at::Tensor& x, int64_t bits, double multiplier, double eps) {
  check_act_absmean("quantize_act_absmean", x, bits, multiplier, eps);
  const float high = largest_code(bits);
  const RowKernels& kernels = row_kernels();
  return quantize_rows(x, [&](const float* row, int64_t k, int8_t* codes) {
    const AbsmeanGrid grid = absmean_grid(kernels, row, k, high, multiplier, eps);
    kernels.encode(row, k, grid.multiplier, -high - 1, high, codes);
    return grid.scale;
  });
}

at::Tensor fake_quantize_act_absmean(const at::Tensor& x, int64_t bits, double multiplier,
                                     double eps) {
  check_act_absmean("fake_quantize_act_absmean", x, bits, multiplier, eps);
  const float high = largest_code(bits);
  const RowKernels& kernels = row_kernels();
  return transform_rows(x, [&](const float* row, int64_t k, float* out) {
    const AbsmeanGrid grid = absmean_grid(kernels, row, k, high, multiplier, eps);
    kernels.fake_encode_scaled(row, k, grid.multiplier, grid.scale, -high - 1, high, out);
  });
}

TensorPair quantize_fp4(const at::Tensor& x) {
  check_float_rows("quantize_fp4", x);
  const RowKernels& kernels = row_kernels();
  return quantize_rows(x, [&](const float* row, int64_t k, int8_t* codes) {
    const float largest = kernels.abs_max(row, k);
    kernels.encode_e2m1(row, k, largest, codes);
    return largest / 12.0F;
  });
}

at::Tensor fake_quantize_fp4(const at::Tensor& x) {
  check_float_rows("fake_quantize_fp4", x);
  const RowKernels& kernels = row_kernels();
  return transform_rows(x, [&](const float* row, int64_t k, float* out) {
    kernels.fake_e2m1(row, k, kernels.abs_max(row, k), out);
  });
}

at::Tensor round_e2m1(const at::Tensor& x) {
  check_float_rows("round_e2m1", x);
  return transform_rows(x, row_kernels().round_e2m1);
}

}  // namespace

TORCH_LIBRARY_IMPL(setun, CPU, m) {
  m.impl("quantize_absmax", quantize_absmax);
  m.impl("fake_quantize_absmax", fake_quantize_absmax);
  m.impl("dequantize_absmax", dequantize_absmax);
  m.impl("quantize_act_absmean", quantize_act_absmean);
  m.impl("fake_quantize_act_absmean", fake_quantize_act_absmean);
  m.impl("quantize_fp4", quantize_fp4);
  m.impl("fake_quantize_fp4", fake_quantize_fp4);
  m.impl("round_e2m1", round_e2m1);
}

}  // namespace setun::ops::cpu
