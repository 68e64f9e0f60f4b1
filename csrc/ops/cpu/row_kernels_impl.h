// The kernels' only source, with the parts it includes. The file that includes it sets the
// instruction set by its compile flags and names the build by SETUN_ROW_KERNELS and
// SETUN_ROW_KERNELS_PATH. Here: absmax and absmean codes, and the table of all kernels.
#include <cmath>
#include <cstring>

#include "ops/cpu/affine_impl.h"
#include "ops/cpu/encode_impl.h"
#include "ops/cpu/fp4_impl.h"
#include "ops/cpu/hadamard_impl.h"
#include "ops/cpu/lanes_impl.h"
#include "ops/cpu/norm_impl.h"
#include "ops/cpu/row_kernels.h"
#include "ops/cpu/select_impl.h"
#include "ops/cpu/weights_impl.h"

namespace setun::ops::cpu {
namespace {

float abs_max(const float* x, int64_t k) { return abs_max_of(x, k); }

float abs_sum(const float* x, int64_t n) {
  return lane_sum(n, [x](int64_t i) { return std::fabs(x[i]) + 0.0F * x[i]; });
}

void encode(const float* x, int64_t k, float multiplier, float low, float high, int8_t* codes) {
  if (std::isnan(multiplier)) {
    std::memset(codes, 0, static_cast<std::size_t>(k));
    return;
  }
  for (int64_t i = 0; i < k; ++i) {
    codes[i] = static_cast<int8_t>(static_cast<int32_t>(code_of(x[i] * multiplier, low, high)));
  }
}

void fake_encode(const float* x, int64_t k, float multiplier, float low, float high, float* out) {
  for (int64_t i = 0; i < k; ++i) {
    // + 0 turns the code -0 into 0, which is what an integer code gives
    out[i] = (code_of(x[i] * multiplier, low, high) + 0.0F) / multiplier;
  }
}

void fake_encode_scaled(const float* x, int64_t k, float multiplier, float scale, float low,
                        float high, float* out) {
  for (int64_t i = 0; i < k; ++i) {
    out[i] = (code_of(x[i] * multiplier, low, high) + 0.0F) * scale;
  }
}

float rms_factor(const float* x, int64_t k, double eps) { return rms_factor_of(x, k, eps); }

void scale_row(const float* x, const float* gain, int64_t k, float factor, float* y) {
  scaled_row(x, gain, k, factor, y);
}

}  // namespace

const RowKernels& SETUN_ROW_KERNELS() {
  static const RowKernels kernels = {
      .path = SETUN_ROW_KERNELS_PATH,
      .abs_max = abs_max,
      .abs_sum = abs_sum,
      .sum = sum,
      .encode = encode,
      .fake_encode = fake_encode,
      .fake_encode_scaled = fake_encode_scaled,
      .encode_sum = encode_sum,
      .encode_random = encode_random,
      .widen_bf16 = widen_bf16,
      .codes_to_float = codes_to_float,
      .ternary_to_bf16 = ternary_to_bf16,
      .pack_int4 = pack_int4,
      .unpack_int4 = unpack_int4,
      .min_max = min_max,
      .encode_affine = encode_affine,
      .fake_affine = fake_affine,
      .hadamard = hadamard,
      .count_at_least = count_at_least,
      .top_mask = top_mask,
      .round_e2m1 = round_e2m1,
      .encode_e2m1 = encode_e2m1,
      .fake_e2m1 = fake_e2m1,
      .encode_sign = encode_sign,
      .encode_stochastic = encode_stochastic,
      .rms_factor = rms_factor,
      .scale_row = scale_row,
  };
  return kernels;
}

}  // namespace setun::ops::cpu
