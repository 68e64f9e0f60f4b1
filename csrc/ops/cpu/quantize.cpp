// CPU kernels of the quantizers: rows and blocks are handed to threads, the arithmetic is
// row_kernels'.
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <algorithm>
#include <vector>

#include "ops/checks.h"
#include "ops/cpu/row_kernels.h"

namespace setun::ops::cpu {
namespace {

constexpr int64_t kGrain = 32768;  // elements worth a thread

int64_t row_grain(int64_t k) { return std::max<int64_t>(1, kGrain / k); }

at::Tensor as_fp32(const at::Tensor& x) { return x.to(at::kFloat).contiguous(); }

float absmax_multiplier(const RowKernels& kernels, const float* row, int64_t k, float high,
                        double eps) {
  const float largest = kernels.abs_max(row, k);
  const auto floor = static_cast<float>(eps);
  return high / (largest < floor ? floor : largest);  // a NaN maximum stays NaN
}

std::tuple<at::Tensor, at::Tensor> quantize_absmax(const at::Tensor& x_in, int64_t bits,
                                                   double eps) {
  check_absmax("quantize_absmax", x_in, bits, eps);
  const at::Tensor x = as_fp32(x_in);
  std::vector<int64_t> scale_shape = x.sizes().vec();
  scale_shape.back() = 1;
  at::Tensor codes = at::empty(x.sizes(), x.options().dtype(at::kChar));
  at::Tensor scale = at::empty(scale_shape, x.options());
  const int64_t k = x.size(-1);
  const auto high = static_cast<float>((1 << (bits - 1)) - 1);
  const float* in = x.const_data_ptr<float>();
  auto* code = codes.data_ptr<int8_t>();
  auto* multiplier = scale.data_ptr<float>();
  const RowKernels& kernels = row_kernels();
  at::parallel_for(0, x.numel() / k, row_grain(k), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      multiplier[row] = absmax_multiplier(kernels, in + row * k, k, high, eps);
      kernels.encode(in + row * k, k, multiplier[row], -high - 1, high, code + row * k);
    }
  });
  return {codes, scale};
}

at::Tensor fake_quantize_absmax(const at::Tensor& x_in, int64_t bits, double eps) {
  check_absmax("fake_quantize_absmax", x_in, bits, eps);
  const at::Tensor x = as_fp32(x_in);
  at::Tensor out = at::empty(x.sizes(), x.options());
  const int64_t k = x.size(-1);
  const auto high = static_cast<float>((1 << (bits - 1)) - 1);
  const float* in = x.const_data_ptr<float>();
  auto* value = out.data_ptr<float>();
  const RowKernels& kernels = row_kernels();
  at::parallel_for(0, x.numel() / k, row_grain(k), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float multiplier = absmax_multiplier(kernels, in + row * k, k, high, eps);
      kernels.fake_encode(in + row * k, k, multiplier, -high - 1, high, value + row * k);
    }
  });
  return out.to(x_in.scalar_type());
}

// Canonical sum of |w| over n consecutive elements: blocks, then the pairwise tree over their sums.
float abs_total(const RowKernels& kernels, const float* w, int64_t n, bool threads) {
  const int64_t blocks = (n + kSumBlock - 1) / kSumBlock;
  std::vector<float> sums(static_cast<std::size_t>(blocks));
  const auto add = [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t start = block * kSumBlock;
      sums[static_cast<std::size_t>(block)] =
          kernels.abs_sum(w + start, std::min(kSumBlock, n - start));
    }
  };
  if (threads) {
    at::parallel_for(0, blocks, kGrain / kSumBlock, add);
  } else {
    add(0, blocks);
  }
  return sum_tree(sums.data(), blocks);
}

float absmean_scale(float total, int64_t n, double eps) {
  const float mean = total / static_cast<float>(n);
  const auto floor = static_cast<float>(eps);
  return mean < floor ? floor : mean;
}

std::tuple<at::Tensor, at::Tensor> quantize_absmean(const at::Tensor& w_in, int64_t group,
                                                    double eps) {
  check_absmean("quantize_absmean", w_in, group, eps);
  const at::Tensor w = as_fp32(w_in);
  TORCH_CHECK(w.numel() > 0, "quantize_absmean: the weight has no element, shape ", w.sizes());
  at::Tensor codes = at::empty(w.sizes(), w.options().dtype(at::kChar));
  at::Tensor scale = at::empty(absmean_scale_shape(w, group), w.options());
  const float* in = w.const_data_ptr<float>();
  auto* code = codes.data_ptr<int8_t>();
  auto* a = scale.data_ptr<float>();
  const RowKernels& kernels = row_kernels();
  if (group == 0) {
    a[0] = absmean_scale(abs_total(kernels, in, w.numel(), true), w.numel(), eps);
    at::parallel_for(0, w.numel(), kGrain, [&](int64_t begin, int64_t end) {
      kernels.encode(in + begin, end - begin, 1.0F / a[0], -1, 1, code + begin);
    });
    return {codes, scale};
  }
  at::parallel_for(0, scale.numel(), row_grain(group), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      a[i] = absmean_scale(abs_total(kernels, in + i * group, group, false), group, eps);
      kernels.encode(in + i * group, group, 1.0F / a[i], -1, 1, code + i * group);
    }
  });
  return {codes, scale};
}

at::Tensor dequantize_absmax(const at::Tensor& codes, const at::Tensor& scale) {
  check_absmax_codes("dequantize_absmax", codes, scale);
  return codes.to(at::kFloat).div_(scale);
}

at::Tensor dequantize_absmean(const at::Tensor& codes, const at::Tensor& scale) {
  check_absmean_codes("dequantize_absmean", codes, scale);
  const at::Tensor value = codes.contiguous().to(at::kFloat);
  const int64_t rows = scale.size(0) == 1 && codes.size(0) != 1 ? 1 : codes.size(0);
  value.view({rows, scale.size(1), -1}).mul_(scale.view({rows, scale.size(1), 1}));
  return value;
}

}  // namespace

TORCH_LIBRARY_IMPL(setun, CPU, m) {
  m.impl("quantize_absmax", quantize_absmax);
  m.impl("fake_quantize_absmax", fake_quantize_absmax);
  m.impl("quantize_absmean", quantize_absmean);
  m.impl("dequantize_absmax", dequantize_absmax);
  m.impl("dequantize_absmean", dequantize_absmean);
}

}  // namespace setun::ops::cpu
