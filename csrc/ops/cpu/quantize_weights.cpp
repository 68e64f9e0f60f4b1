// CPU kernels of the weight quantizers: a statistic for each scale group, then codes. With one
// group for the whole tensor both steps divide its elements over threads, else the groups are
// divided.
#include <torch/library.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "ops/checks.h"
#include "ops/cpu/row_kernels.h"
#include "ops/cpu/rows.h"
#include "ops/cpu/select.h"
#include "ops/cpu/statistics.h"

namespace setun::ops::cpu {
namespace {

using TensorPair = std::tuple<at::Tensor, at::Tensor>;

// A statistic of |w| over a group; NaN when a value is not finite.
using MagnitudeStatistic = float (*)(const RowKernels& kernels, const float* w, int64_t n,
                                     bool threads);

struct GroupStatistic {
  float scale;
  float centre = 0;
};

// statistic(w, n, threads) of a group's n elements; encode(begin, count, statistic, codes) for
// elements of the whole tensor that are in one group.
template <class Statistic, class Encode>
TensorPair quantize_groups(const at::Tensor& w, int64_t group, const Statistic& statistic,
                           const Encode& encode) {
  at::Tensor codes = at::empty(w.sizes(), w.options().dtype(at::kChar));
  at::Tensor scale = at::empty(weight_scale_shape(w, group), w.options());
  const auto* in = w.const_data_ptr<float>();
  auto* code = codes.data_ptr<int8_t>();
  auto* scales = scale.data_ptr<float>();
  const int64_t n = w.numel();
  if (group == 0) {
    const GroupStatistic whole = statistic(in, n, true);
    scales[0] = whole.scale;
    at::parallel_for(0, n, kGrain, [&](int64_t begin, int64_t end) {
      encode(begin, end - begin, whole, code + begin);
    });
    return {codes, scale};
  }
  at::parallel_for(0, n / group, row_grain(group), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const GroupStatistic one = statistic(in + i * group, group, false);
      scales[i] = one.scale;
      encode(i * group, group, one, code + i * group);
    }
  });
  return {codes, scale};
}

float mean_magnitude(const RowKernels& kernels, const float* w, int64_t n, bool threads) {
  return canonical_total(kernels.abs_sum, w, n, threads) / static_cast<float>(n);
}

// The lower median: element (n - 1) / 2 of the sorted magnitudes.
float median_magnitude(const RowKernels& kernels, const float* w, int64_t n, bool threads) {
  const std::vector<float> maxima = block_values(
      n, threads, [&](int64_t begin, int64_t count) { return kernels.abs_max(w + begin, count); });
  for (const float largest : maxima) {
    if (std::isnan(largest)) {
      return largest;
    }
  }
  const uint32_t key = ranked_key(n - (n - 1) / 2, [&](uint32_t least) {
    if (!threads) {
      return kernels.count_at_least(w, n, least);
    }
    return at::parallel_reduce(
        0, n, kGrain, int64_t{0},
        [&](int64_t begin, int64_t end, int64_t count) {
          return count + kernels.count_at_least(w + begin, end - begin, least);
        },
        [](int64_t a, int64_t b) { return a + b; });
  });
  return std::bit_cast<float>(key);
}

// group_scale(w, n, threads): max(statistic, eps).
auto clamped(const RowKernels& kernels, MagnitudeStatistic statistic, double eps) {
  return [&kernels, statistic, floor = static_cast<float>(eps)](const float* w, int64_t n,
                                                                bool threads) -> GroupStatistic {
    const float value = statistic(kernels, w, n, threads);
    return {value < floor ? floor : value};  // NaN stays NaN
  };
}

TensorPair ternary(const char* op, const at::Tensor& w_in, int64_t group, double eps,
                   MagnitudeStatistic statistic) {
  check_ternary(op, w_in, group, eps);
  const at::Tensor w = as_fp32(w_in);
  const auto* in = w.const_data_ptr<float>();
  const RowKernels& kernels = row_kernels();
  return quantize_groups(w, group, clamped(kernels, statistic, eps),
                         [&](int64_t begin, int64_t count, GroupStatistic a, int8_t* codes) {
                           kernels.encode(in + begin, count, 1.0F / a.scale, -1, 1, codes);
                         });
}

TensorPair quantize_absmean(const at::Tensor& w, int64_t group, double eps) {
  return ternary("quantize_absmean", w, group, eps, mean_magnitude);
}

TensorPair quantize_absmedian(const at::Tensor& w, int64_t group, double eps) {
  return ternary("quantize_absmedian", w, group, eps, median_magnitude);
}

TensorPair quantize_absmean_stochastic(const at::Tensor& w_in, const at::Tensor& u_in,
                                       int64_t group, double eps) {
  check_stochastic("quantize_absmean_stochastic", w_in, u_in, group, eps);
  const at::Tensor w = as_fp32(w_in), u = u_in.contiguous();
  const auto *in = w.const_data_ptr<float>(), *draw = u.const_data_ptr<float>();
  const RowKernels& kernels = row_kernels();
  return quantize_groups(w, group, clamped(kernels, mean_magnitude, eps),
                         [&](int64_t begin, int64_t count, GroupStatistic a, int8_t* codes) {
                           kernels.encode_stochastic(in + begin, draw + begin, count,
                                                     1.0F / a.scale, codes);
                         });
}

TensorPair quantize_binary(const at::Tensor& w_in, int64_t group) {
  check_weight("quantize_binary", w_in, group);
  const at::Tensor w = as_fp32(w_in);
  const auto* in = w.const_data_ptr<float>();
  const RowKernels& kernels = row_kernels();
  return quantize_groups(
      w, group,
      [&](const float* x, int64_t n, bool threads) -> GroupStatistic {
        const float mean = canonical_total(kernels.sum, x, n, threads) / static_cast<float>(n);
        return {mean_magnitude(kernels, x, n, threads), mean};
      },
      [&](int64_t begin, int64_t count, GroupStatistic s, int8_t* codes) {
        if (std::isnan(s.scale)) {
          std::memset(codes, 0, static_cast<std::size_t>(count));
        } else {
          kernels.encode_sign(in + begin, count, s.centre, codes);
        }
      });
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
  m.impl("quantize_absmean", quantize_absmean);
  m.impl("quantize_absmedian", quantize_absmedian);
  m.impl("quantize_absmean_stochastic", quantize_absmean_stochastic);
  m.impl("quantize_binary", quantize_binary);
  m.impl("dequantize_absmean", dequantize_absmean);
}

}  // namespace setun::ops::cpu
