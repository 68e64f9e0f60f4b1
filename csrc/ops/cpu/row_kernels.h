// Torch-free kernels over one row (or one block) of fp32 values, built three times from one source
// (row_kernels_impl.h) and chosen at run time by base/cpu_features. Every build gives the same
// bits: the sum tree is fixed at 32 lanes, nothing is contracted or reassociated. Threads divide
// rows or fixed blocks, so their number changes nothing either.
#pragma once

#include <cstdint>

#include "base/cpu_features.h"

namespace setun::ops::cpu {

// Elements that abs_sum and sum add in one call; the tree above the blocks is sum_tree().
inline constexpr int64_t kSumBlock = 4096;
// Rows up to this length are ranked by counting, longer ones by search.
inline constexpr int64_t kShortRow = 64;

struct RowKernels {
  CpuPath path;
  // max|x| of k values, NaN when any of them is not finite.
  float (*abs_max)(const float* x, int64_t k);
  // Sum of |x| of n <= kSumBlock values, NaN when any is not finite.
  float (*abs_sum)(const float* x, int64_t n);
  // Sum of n <= kSumBlock values.
  float (*sum)(const float* x, int64_t n);
  // code = clip(rne(x * multiplier), low, high); 0 when the multiplier is NaN.
  void (*encode)(const float* x, int64_t k, float multiplier, float low, float high, int8_t* codes);
  // The same codes divided by the multiplier, without storing them.
  void (*fake_encode)(const float* x, int64_t k, float multiplier, float low, float high,
                      float* out);
  // The same codes times a scale.
  void (*fake_encode_scaled)(const float* x, int64_t k, float multiplier, float scale, float low,
                             float high, float* out);
  // encode, returning the sum of the codes.
  int32_t (*encode_sum)(const float* x, int64_t k, float multiplier, float low, float high,
                        int8_t* codes);
  // code = clip(floor(x * multiplier + u), low, high), u draw counter + i of the key; 0 when the
  // multiplier is NaN. Returns the sum of the codes.
  int32_t (*encode_random)(const float* x, int64_t k, float multiplier, float low, float high,
                           uint64_t key, uint64_t counter, int8_t* codes);
  // bf16 bits to fp32.
  void (*widen_bf16)(const uint16_t* x, int64_t k, float* y);
  // Codes to fp32, and codes -1, 0, 1 to the bits of bf16.
  void (*codes_to_float)(const int8_t* codes, int64_t k, float* y);
  void (*ternary_to_bf16)(const int8_t* codes, int64_t k, uint16_t* y);
  // Two's complement nibbles, the even index low; k codes in (k + 1) / 2 bytes.
  void (*pack_int4)(const int8_t* codes, int64_t k, uint8_t* packed);
  void (*unpack_int4)(const uint8_t* packed, int64_t k, int8_t* codes);
  // Smallest and largest of k values, both NaN when any of them is not finite.
  void (*min_max)(const float* x, int64_t k, float* low, float* high);
  // code = clip(rne((x - offset) / step), low, high), stored modulo 256; 0 when the step is NaN.
  void (*encode_affine)(const float* x, int64_t k, float offset, float step, float low, float high,
                        uint8_t* codes);
  // offset + code * step of the same codes, without storing them.
  void (*fake_affine)(const float* x, int64_t k, float offset, float step, float low, float high,
                      float* out);
  // Every block of n values times the normalized Sylvester matrix; block is a power of two that
  // divides n.
  void (*hadamard)(const float* x, int64_t n, int64_t block, float* y);
  // How many magnitudes, read as integers, are at least key (select.h).
  int64_t (*count_at_least)(const float* x, int64_t n, uint32_t key);
  // Marks the `keep` largest of k magnitudes, equal ones by index.
  void (*top_mask)(const float* x, int64_t k, int64_t keep, bool* mask);
  // The nearest E2M1 number.
  void (*round_e2m1)(const float* x, int64_t k, float* out);
  // code = 2 E2M1(6 x / largest); 0 when largest is 0 or NaN.
  void (*encode_e2m1)(const float* x, int64_t k, float largest, int8_t* codes);
  // code * (largest / 12) of the same codes.
  void (*fake_e2m1)(const float* x, int64_t k, float largest, float* out);
  // 1 above the centre, else -1.
  void (*encode_sign)(const float* x, int64_t k, float centre, int8_t* codes);
  // sign(x) where |x| * multiplier >= u, else 0.
  void (*encode_stochastic)(const float* x, const float* u, int64_t k, float multiplier,
                            int8_t* codes);
  // 1 / sqrt(mean((x/m)^2) + eps/m^2) / m with m = 1 unless max|x| > 1e18 or sum(x^2) overflows
  // (then m = max|x|): the factor of RMSNorm.
  float (*rms_factor)(const float* x, int64_t k, double eps);
  // y = x * factor * gain; gain may be null (ones).
  void (*scale_row)(const float* x, const float* gain, int64_t k, float factor, float* y);
};

const RowKernels& row_kernels();  // of base/cpu_features' cpu_path()
const RowKernels& row_kernels_scalar();
const RowKernels& row_kernels_avx2();
const RowKernels& row_kernels_avx512();

// Pairwise sum of block sums: the same tree for any thread count.
float sum_tree(const float* values, int64_t n);

}  // namespace setun::ops::cpu
