#include <algorithm>
#include <cmath>

#include "ops/cpu/reference_step.h"

namespace setun::ops::reference {

AttentionGradient causal_attention(const AttentionCase& c) {
  const auto at = [&](const std::vector<double>& m, int64_t row, int64_t i) {
    return m[static_cast<size_t>(row * c.dim + i)];
  };
  const auto size = [&](int64_t rows) { return static_cast<size_t>(rows * c.dim); };
  AttentionGradient g{std::vector<double>(size(c.queries)), std::vector<double>(size(c.queries)),
                      std::vector<double>(size(c.keys)), std::vector<double>(size(c.keys))};
  const double scale = 1 / std::sqrt(static_cast<double>(c.dim));
  for (int64_t t = 0; t < c.queries; ++t) {
    const int64_t first = c.first.empty() ? 0 : c.first[static_cast<size_t>(t)];
    const int64_t last = c.keys - c.queries + t;
    std::vector<double> p, dp;
    double largest = -INFINITY, sum = 0, delta = 0;
    for (int64_t s = first; s <= last; ++s) {
      double z = 0, d = 0;
      for (int64_t i = 0; i < c.dim; ++i) {
        z += scale * at(c.q, t, i) * at(c.k, s, i);
        d += at(c.d_out, t, i) * at(c.v, s, i);
      }
      p.push_back(z);
      dp.push_back(d);
      largest = std::max(largest, z);
    }
    for (double& z : p) {
      sum += z = std::exp(z - largest);
    }
    for (size_t j = 0; j < p.size(); ++j) {
      p[j] /= sum;
      delta += p[j] * dp[j];
    }
    for (size_t j = 0; j < p.size(); ++j) {
      const auto key = size(first + static_cast<int64_t>(j)), query = size(t);
      const double dz = scale * p[j] * (dp[j] - delta);
      for (size_t i = 0; i < size(1); ++i) {
        g.out[query + i] += p[j] * c.v[key + i];
        g.dv[key + i] += p[j] * c.d_out[query + i];
        g.dq[query + i] += dz * c.k[key + i];
        g.dk[key + i] += dz * c.q[query + i];
      }
    }
  }
  return g;
}

}  // namespace setun::ops::reference
