// What uniform grids and ternary rules do to a standard normal variable, in closed form: the
// numbers a scale choice is judged by, and the expected statistics of quantized normal weights.
// Torch-free, double precision. It knows nothing of finite samples.
#pragma once

#include <cstdint>

namespace setun {

struct GaussianGrid {
  double c;          // the outermost level: the levels are equally spaced on [-c, c]
  double mse;        // mean squared error
  double half_step;  // c / (levels - 1)
  double trust;      // c * levels / (levels - 1): beyond it the error exceeds half a step
  double outside;    // P(|x| > trust)
};

// The grid of smallest mean squared error. levels >= 2, else Error.
GaussianGrid gaussian_grid(int64_t levels);

enum class TernaryRule {
  kAbsmean,    // threshold mean|x| / 2, level mean|x| (BitNet b1.58)
  kAbsmedian,  // the same of the median
  kParq,       // 1.1 mean|x|
  kTwn,        // threshold 0.75 mean|x|, level the mean beyond it (1605.04711, solved for a normal)
  kMseOptimal,  // the grid of three levels
  kSeq          // threshold alpha / 3, level 2 alpha / 3 (ParetoQ, 2502.02631)
};

struct GaussianTernary {
  double threshold;  // |x| below it becomes 0
  double level;      // the value of the others
  double zeros;      // share of zeros
  double mse;
  double entropy;  // bits a code
};

// alpha only counts for kSeq.
GaussianTernary gaussian_ternary(TernaryRule rule, double alpha = 0);

struct GaussianFractions {
  double a4_zero, a4_code_7, a4_code_minus_8;  // 4-bit absmean codes (BitNet a4.8)
  double eb_masked;                            // P(|x| > mean|x|): elastic binarization's mask
};
GaussianFractions gaussian_fractions();

}  // namespace setun
