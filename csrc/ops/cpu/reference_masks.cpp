// References of the Hadamard transform and of selection by magnitude.
#include <numeric>

#include "ops/cpu/reference_common.h"

namespace setun::ops::reference {

std::vector<float> hadamard(const std::vector<float>& x) {
  std::vector<float> y = x;
  for (std::size_t h = 1; h < y.size(); h *= 2) {
    for (std::size_t i = 0; i < y.size(); ++i) {
      if ((i & h) == 0) {
        const float u = y[i], v = y[i + h];
        y[i] = u + v;
        y[i + h] = u - v;
      }
    }
  }
  const float factor = 1.0F / std::sqrt(static_cast<float>(y.size()));
  for (float& v : y) {
    v *= factor;
  }
  return y;
}

std::vector<bool> topk_mask(const std::vector<float>& x, int64_t k) {
  std::vector<std::size_t> order(x.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    const bool a_nan = std::isnan(x[a]), b_nan = std::isnan(x[b]);
    return a_nan || b_nan ? a_nan && !b_nan : std::fabs(x[a]) > std::fabs(x[b]);
  });
  std::vector<bool> mask(x.size(), false);
  for (int64_t i = 0; i < k; ++i) {
    mask[order[static_cast<std::size_t>(i)]] = true;
  }
  return mask;
}

}  // namespace setun::ops::reference
