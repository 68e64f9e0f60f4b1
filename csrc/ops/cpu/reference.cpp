#include "ops/cpu/reference.h"

#include <algorithm>
#include <cmath>

#include "ops/cpu/reference_common.h"
#include "ops/cpu/row_kernels.h"

namespace setun::ops::reference {
namespace {

float pairwise(const std::vector<float>& v, std::size_t first, std::size_t last) {
  if (last - first == 1) {
    return v[first];
  }
  const std::size_t middle = first + (last - first + 1) / 2;
  return pairwise(v, first, middle) + pairwise(v, middle, last);
}

Row ternary(const std::vector<float>& w, float statistic, double eps) {
  Row row;
  row.scale = all_finite(w) ? std::max(statistic, static_cast<float>(eps)) : kNaN;
  const float inverse = 1.0F / row.scale;
  for (const float v : w) {
    row.codes.push_back(all_finite(w) ? code_of(v * inverse, -1, 1) : int8_t{0});
    row.value.push_back(static_cast<float>(row.codes.back()) * row.scale);
  }
  return row;
}

}  // namespace

float canonical_sum(const std::vector<float>& x) {
  std::vector<float> blocks;
  for (std::size_t start = 0; start < x.size(); start += cpu::kSumBlock) {
    std::vector<float> lanes(32, 0.0F);
    const std::size_t end = std::min(x.size(), start + cpu::kSumBlock);
    for (std::size_t i = start; i < end; ++i) {
      lanes[(i - start) % 32] += x[i];
    }
    for (std::size_t width = 16; width > 0; width /= 2) {
      for (std::size_t i = 0; i < width; ++i) {
        lanes[i] = lanes[2 * i] + lanes[2 * i + 1];
      }
    }
    blocks.push_back(lanes[0]);
  }
  return blocks.empty() ? 0.0F : pairwise(blocks, 0, blocks.size());
}

Row quantize_absmax(const std::vector<float>& x, int64_t bits, double eps) {
  const auto high = static_cast<float>((1 << (bits - 1)) - 1);
  Row row;
  row.scale = all_finite(x) ? high / std::max(largest_magnitude(x), static_cast<float>(eps)) : kNaN;
  for (const float v : x) {
    row.codes.push_back(all_finite(x) ? code_of(v * row.scale, -high - 1, high) : int8_t{0});
    row.value.push_back(static_cast<float>(row.codes.back()) / row.scale);
  }
  return row;
}

Row quantize_absmean(const std::vector<float>& w, double eps) {
  return ternary(w, canonical_sum(magnitudes(w)) / static_cast<float>(w.size()), eps);
}

Row quantize_absmedian(const std::vector<float>& w, double eps) {
  if (!all_finite(w)) {
    return ternary(w, kNaN, eps);  // NaN has no place in an order
  }
  std::vector<float> sorted = magnitudes(w);
  std::sort(sorted.begin(), sorted.end());
  return ternary(w, sorted[(w.size() - 1) / 2], eps);
}

Row quantize_absmean_stochastic(const std::vector<float>& w, const std::vector<float>& u,
                                double eps) {
  Row row = quantize_absmean(w, eps);
  const float inverse = 1.0F / row.scale;
  for (std::size_t i = 0; i < w.size(); ++i) {
    const int sign = w[i] > 0 ? 1 : (w[i] < 0 ? -1 : 0);
    row.codes[i] = static_cast<int8_t>(std::fabs(w[i]) * inverse >= u[i] ? sign : 0);
    row.value[i] = static_cast<float>(row.codes[i]) * row.scale;
  }
  return row;
}

Row quantize_binary(const std::vector<float>& w) {
  const auto n = static_cast<float>(w.size());
  const bool finite = all_finite(w);
  const float centre = canonical_sum(w) / n;
  Row row;
  row.scale = finite ? canonical_sum(magnitudes(w)) / n : kNaN;
  for (const float v : w) {
    row.codes.push_back(finite ? (v > centre ? int8_t{1} : int8_t{-1}) : int8_t{0});
    row.value.push_back(static_cast<float>(row.codes.back()) * row.scale);
  }
  return row;
}

std::vector<double> rms_norm(const std::vector<double>& x, const std::vector<double>& gain,
                             double eps) {
  double squares = 0;
  for (const double v : x) {
    squares += v * v;
  }
  const double factor = 1 / std::sqrt(squares / static_cast<double>(x.size()) + eps);
  std::vector<double> y;
  for (std::size_t i = 0; i < x.size(); ++i) {
    y.push_back(x[i] * factor * (gain.empty() ? 1.0 : gain[i]));
  }
  return y;
}

std::vector<double> layer_norm(const std::vector<double>& x, double eps) {
  double sum = 0;
  for (const double v : x) {
    sum += v;
  }
  std::vector<double> centred;
  for (const double v : x) {
    centred.push_back(v - sum / static_cast<double>(x.size()));
  }
  return rms_norm(centred, {}, eps);
}

}  // namespace setun::ops::reference
