#include "ops/cpu/reference_few_rows.h"

#include <algorithm>
#include <cmath>

namespace setun::ops::reference {

std::vector<float> few_rows_linear(const FewRowsProduct& p) {
  std::vector<float> y;
  for (int64_t m = 0; m < p.rows; ++m) {
    for (int64_t o = 0; o < p.outputs; ++o) {
      float lanes[32] = {};
      for (int64_t k = 0; k < p.columns; ++k) {
        const int64_t c = k % 32, lane = p.bf16_matrix ? c / 2 + 16 * (c % 2) : c;
        lanes[lane] += p.x[static_cast<std::size_t>(m * p.columns + k)] *
                       p.w[static_cast<std::size_t>(o * p.columns + k)];
      }
      for (int half = 16; half > 0; half /= 2) {
        for (int i = 0; i < half; ++i) {
          lanes[i] += lanes[i + half];
        }
      }
      y.push_back(lanes[0]);
    }
  }
  return y;
}

std::vector<double> attend(const std::vector<double>& q, const std::vector<double>& keys,
                           const std::vector<double>& values, int64_t count) {
  const std::size_t width = q.size(), positions = static_cast<std::size_t>(count);
  std::vector<double> scores(positions), out(width);
  for (std::size_t s = 0; s < positions; ++s) {
    for (std::size_t d = 0; d < width; ++d) {
      scores[s] += q[d] * keys[s * width + d];
    }
    scores[s] /= std::sqrt(static_cast<double>(width));
  }
  const double largest = *std::max_element(scores.begin(), scores.end());
  double total = 0;
  for (double& score : scores) {
    score = std::exp(score - largest);
    total += score;
  }
  for (std::size_t s = 0; s < positions; ++s) {
    for (std::size_t d = 0; d < width; ++d) {
      out[d] += scores[s] / total * values[s * width + d];
    }
  }
  return out;
}

}  // namespace setun::ops::reference
