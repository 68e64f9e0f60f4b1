// Torch-free kernels over one row (or one block) of fp32 values, built three times from one source
// (row_kernels_impl.h) and chosen at run time by base/cpu_features. Every build gives the same
// bits: the sum tree is fixed at 32 lanes, nothing is contracted or reassociated. Threads divide
// rows or fixed blocks, so their number changes nothing either.
#pragma once

#include <cstdint>

namespace setun::ops::cpu {

// Elements whose absolute values abs_sum adds in one call; the tree above the blocks is sum_tree().
inline constexpr int64_t kSumBlock = 4096;

struct RowKernels {
  // max|x| of k values, NaN when any of them is not finite.
  float (*abs_max)(const float* x, int64_t k);
  // Sum of |x| of n <= kSumBlock values, NaN when any is not finite.
  float (*abs_sum)(const float* x, int64_t n);
  // code = clip(rne(x * multiplier), low, high); 0 when the multiplier is NaN.
  void (*encode)(const float* x, int64_t k, float multiplier, float low, float high, int8_t* codes);
  // The same codes divided by the multiplier, without storing them.
  void (*fake_encode)(const float* x, int64_t k, float multiplier, float low, float high,
                      float* out);
  // 1 / sqrt(mean((x/m)^2) + eps/m^2) / m with m = 1 unless max|x| > 1e18 (then m = max|x|): the
  // factor of RMSNorm.
  float (*rms_factor)(const float* x, int64_t k, double eps);
  // y = x * factor * gain; gain may be null (ones).
  void (*scale_row)(const float* x, const float* gain, int64_t k, float factor, float* y);
  // Sum of grad * gain * x (gain null: ones) in the fixed tree: the inner product of RMSNorm's
  // backward.
  float (*dot3)(const float* grad, const float* gain, const float* x, int64_t k);
  // y = x - mean(x), the mean's sum in the fixed tree.
  void (*subtract_mean)(const float* x, int64_t k, float* y);
};

const RowKernels& row_kernels();  // of base/cpu_features' cpu_path()
const RowKernels& row_kernels_scalar();
const RowKernels& row_kernels_avx2();
const RowKernels& row_kernels_avx512();

// Pairwise sum of block sums: the same tree for any thread count.
float sum_tree(const float* values, int64_t n);

}  // namespace setun::ops::cpu
