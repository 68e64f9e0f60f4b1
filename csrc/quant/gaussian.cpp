#include "quant/gaussian.h"

#include <cmath>
#include <numbers>

#include "base/error.h"

namespace setun {
namespace {

const double kMeanMagnitude = std::sqrt(2 / std::numbers::pi);
constexpr double kMedianMagnitude = 0.67448975019608174;  // erf(x / sqrt(2)) = 1 / 2

double density(double x) { return std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi); }

// P(|x| > t).
double two_tails(double t) { return std::erfc(t / std::numbers::sqrt2); }

// P(a < x < b) without cancellation in the upper tail.
double mass(double a, double b) {
  const auto below = [](double x) { return two_tails(-x) / 2; };
  return a < 0 ? below(b) - below(a) : below(-a) - below(-b);
}

// Integral of (x - level)^2 over the cell (a, b), by the moments of the density.
double cell_error(double level, double a, double b) {
  const double m0 = mass(a, b), m1 = density(a) - density(b);
  const double m2 = m0 + a * density(a) - b * density(b);
  return m2 - 2 * level * m1 + level * level * m0;
}

double grid_error(double c, int64_t levels) {
  constexpr double kFar = 40;  // the density is 0 there in double
  const double step = 2 * c / static_cast<double>(levels - 1);
  double total = 0, edge = -kFar;
  for (int64_t i = 0; i < levels; ++i) {
    const double level = -c + static_cast<double>(i) * step;
    const double next = i + 1 == levels ? kFar : level + step / 2;
    total += cell_error(level, edge, next);
    edge = next;
  }
  return total;
}

// Minimum of a function with one valley, by golden sections.
template <class Function>
double minimum(const Function& f, double low, double high) {
  const double ratio = (std::sqrt(5.0) - 1) / 2;
  double a = high - ratio * (high - low), b = low + ratio * (high - low);
  double fa = f(a), fb = f(b);
  for (int i = 0; i < 100; ++i) {
    if (fa < fb) {
      high = b;
      b = a;
      fb = fa;
      a = high - ratio * (high - low);
      fa = f(a);
    } else {
      low = a;
      a = b;
      fa = fb;
      b = low + ratio * (high - low);
      fb = f(b);
    }
  }
  return (low + high) / 2;
}

struct Rule {
  double threshold, level;
};

Rule resolve(TernaryRule rule, double alpha) {
  switch (rule) {
    case TernaryRule::kAbsmean:
      return {kMeanMagnitude / 2, kMeanMagnitude};
    case TernaryRule::kAbsmedian:
      return {kMedianMagnitude / 2, kMedianMagnitude};
    case TernaryRule::kParq:
      return {0.55 * kMeanMagnitude, 1.1 * kMeanMagnitude};
    case TernaryRule::kTwn: {
      const double t = 0.75 * kMeanMagnitude;
      return {t, 2 * density(t) / two_tails(t)};
    }
    case TernaryRule::kMseOptimal: {
      const double t = gaussian_grid(3).half_step;
      return {t, 2 * t};
    }
    case TernaryRule::kSeq:
      SETUN_CHECK(alpha > 0, "the rule seq needs a positive alpha, got ", alpha);
      return {alpha / 3, 2 * alpha / 3};
  }
  SETUN_ASSERT(false, "a ternary rule without a formula");
  return {};
}

}  // namespace

GaussianGrid gaussian_grid(int64_t levels) {
  SETUN_CHECK(levels >= 2, "a grid needs at least 2 levels, got ", levels);
  const double c = minimum([levels](double v) { return grid_error(v, levels); }, 0.3, 6.0);
  const auto n = static_cast<double>(levels);
  const double trust = c * n / (n - 1);
  return {c, grid_error(c, levels), c / (n - 1), trust, two_tails(trust)};
}

GaussianTernary gaussian_ternary(TernaryRule rule, double alpha) {
  const auto [threshold, level] = resolve(rule, alpha);
  const double others = two_tails(threshold), zeros = 1 - others;
  return {threshold, level, zeros, 1 - 4 * level * density(threshold) + level * level * others,
          -zeros * std::log2(zeros) - others * std::log2(others / 2)};
}

GaussianFractions gaussian_fractions() {
  const double step = kMeanMagnitude / std::sqrt(7.0);
  return {1 - two_tails(0.5 * step), two_tails(6.5 * step) / 2, two_tails(7.5 * step) / 2,
          two_tails(kMeanMagnitude)};
}

}  // namespace setun
