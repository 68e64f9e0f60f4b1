#include "ops/cpu/reference_step.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace setun::ops::reference {

Gated gated_activation(GatedKind kind, double gate, double up) {
  switch (kind) {
    case GatedKind::kSilu: {
      const double s = 1 / (1 + std::exp(-gate));
      return {gate * s * up, up * s * (1 + gate * (1 - s)), gate * s};
    }
    case GatedKind::kRelu2: {
      const double r = gate > 0 ? gate : 0;
      return {r * r * up, 2 * r * up, r * r};
    }
  }
  return {};
}

// y = x f g, f = (mean(x^2) + eps)^(-1/2): dx_j = f (g_j dy_j - f^2 x_j mean(g dy x)).
NormGradient rms_norm_backward(const std::vector<double>& dy, const std::vector<double>& x,
                               const std::vector<double>& gain, double eps) {
  const auto n = static_cast<double>(x.size());
  double squares = 0, inner = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    squares += x[i] * x[i];
    inner += dy[i] * (gain.empty() ? 1 : gain[i]) * x[i];
  }
  const double f = 1 / std::sqrt(squares / n + eps);
  NormGradient gradient;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double upstream = dy[i] * (gain.empty() ? 1 : gain[i]);
    gradient.dx.push_back(f * (upstream - f * f * x[i] * inner / n));
    if (!gain.empty()) {
      gradient.d_gain.push_back(dy[i] * x[i] * f);
    }
  }
  return gradient;
}

// The chain rule through the centring: RMSNorm's gradient at the centred row, minus its mean.
NormGradient layer_norm_backward(const std::vector<double>& dy, const std::vector<double>& x,
                                 double eps) {
  const auto n = static_cast<double>(x.size());
  const double mean = std::accumulate(x.begin(), x.end(), 0.0) / n;
  std::vector<double> centred;
  for (const double v : x) {
    centred.push_back(v - mean);
  }
  NormGradient gradient = rms_norm_backward(dy, centred, {}, eps);
  const double shift = std::accumulate(gradient.dx.begin(), gradient.dx.end(), 0.0) / n;
  for (double& v : gradient.dx) {
    v -= shift;
  }
  return gradient;
}

RowLoss cross_entropy(const std::vector<double>& z, std::size_t target) {
  const double largest = *std::max_element(z.begin(), z.end());
  double sum = 0;
  for (const double v : z) {
    sum += std::exp(v - largest);
  }
  RowLoss row{std::log(sum) + largest - z[target], {}};
  for (const double v : z) {
    row.gradient.push_back(std::exp(v - largest) / sum);
  }
  row.gradient[target] -= 1;
  return row;
}

}  // namespace setun::ops::reference
