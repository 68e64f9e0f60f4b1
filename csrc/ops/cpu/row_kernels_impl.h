// The kernels' only source. The file that includes it sets the instruction set by its compile flags
// and names the build by SETUN_ROW_KERNELS. Loops run over 32 independent lanes, which compilers
// turn into vectors of any width without changing a bit. Rounding is the exact trick (v + 1.5*2^23)
// - 1.5*2^23: round half to even for |v| < 2^22, and codes are clipped to 8 bits first.
#include <cmath>
#include <cstring>

#include "ops/cpu/row_kernels.h"

namespace setun::ops::cpu {
namespace {

constexpr int kLanes = 32;
constexpr float kRound = 12582912.0F;  // 1.5 * 2^23
constexpr float kHuge = 1e18F;         // above it x * x may overflow a sum of 2^24 terms

// ((0+1)+(2+3))+...: pairwise over the lanes, then the caller's blocks.
float reduce_sum(float* lanes) {
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) {
      lanes[i] = lanes[2 * i] + lanes[2 * i + 1];
    }
  }
  return lanes[0];
}

float reduce_max(const float* lanes) {
  float best = 0;
  for (int i = 0; i < kLanes; ++i) {
    best = lanes[i] > best ? lanes[i] : best;
  }
  return best;
}

// Adds term(i) for i in [0, n) into 32 lanes (element i goes to lane i % 32), then pairwise.
template <class Term>
float lane_sum(int64_t n, const Term& term) {
  float lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      lanes[lane] += term(i + lane);
    }
  }
  for (int lane = 0; i < n; ++i, ++lane) {
    lanes[lane] += term(i);
  }
  return reduce_sum(lanes);
}

// Long rows add fixed blocks of kSumBlock elements, so that rounding stays small and the tree stays
// the same.
template <class Term>
float blocked_sum(int64_t n, const Term& term) {
  if (n <= kSumBlock) {
    return lane_sum(n, term);
  }
  float total = 0;
  for (int64_t start = 0; start < n; start += kSumBlock) {
    const int64_t length = n - start < kSumBlock ? n - start : kSumBlock;
    total += lane_sum(length, [&](int64_t i) { return term(start + i); });
  }
  return total;
}

float abs_max(const float* x, int64_t k) {
  float lanes[kLanes] = {};
  float poison[kLanes] =
      {};  // 0 * x is 0, or NaN for an x that is not finite: a maximum alone would drop NaN
  int64_t i = 0;
  for (; i + kLanes <= k; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      const float value = std::fabs(x[i + lane]);
      lanes[lane] = value > lanes[lane] ? value : lanes[lane];
      poison[lane] += 0.0F * x[i + lane];
    }
  }
  for (int lane = 0; i < k; ++i, ++lane) {
    const float value = std::fabs(x[i]);
    lanes[lane] = value > lanes[lane] ? value : lanes[lane];
    poison[lane] += 0.0F * x[i];
  }
  return reduce_max(lanes) + reduce_sum(poison);
}

float abs_sum(const float* x, int64_t n) {
  return lane_sum(n, [x](int64_t i) { return std::fabs(x[i]) + 0.0F * x[i]; });
}

inline float clipped(float v, float low, float high) {
  v = v < low ? low : v;
  return v > high ? high : v;
}

// Clipping to one beyond the range before rounding changes no code and keeps the rounding trick
// exact.
inline float code_of(float v, float low, float high) {
  v = clipped(v, low - 1.0F, high + 1.0F);
  v = (v + kRound) - kRound;
  return clipped(v, low, high);
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

float rms_factor(const float* x, int64_t k, double eps) {
  const float largest = abs_max(x, k);
  if (largest <= kHuge) {
    const float sum = blocked_sum(k, [x](int64_t i) { return x[i] * x[i]; });
    return 1.0F / std::sqrt(sum / static_cast<float>(k) + static_cast<float>(eps));
  }
  const float sum = blocked_sum(k, [x, largest](int64_t i) {
    const float v = x[i] / largest;
    return v * v;
  });
  const float shift = static_cast<float>(eps) / largest / largest;
  return 1.0F / std::sqrt(sum / static_cast<float>(k) + shift) / largest;
}

void scale_row(const float* x, const float* gain, int64_t k, float factor, float* y) {
  if (gain == nullptr) {
    for (int64_t i = 0; i < k; ++i) {
      y[i] = x[i] * factor;
    }
    return;
  }
  for (int64_t i = 0; i < k; ++i) {
    y[i] = x[i] * factor * gain[i];
  }
}

float dot3(const float* grad, const float* gain, const float* x, int64_t k) {
  if (gain == nullptr) {
    return blocked_sum(k, [=](int64_t i) { return grad[i] * x[i]; });
  }
  return blocked_sum(k, [=](int64_t i) { return grad[i] * gain[i] * x[i]; });
}

void subtract_mean(const float* x, int64_t k, float* y) {
  const float mean = blocked_sum(k, [x](int64_t i) { return x[i]; }) / static_cast<float>(k);
  for (int64_t i = 0; i < k; ++i) {
    y[i] = x[i] - mean;
  }
}

}  // namespace

const RowKernels& SETUN_ROW_KERNELS() {
  static const RowKernels kernels = {.abs_max = abs_max,
                                     .abs_sum = abs_sum,
                                     .encode = encode,
                                     .fake_encode = fake_encode,
                                     .rms_factor = rms_factor,
                                     .scale_row = scale_row,
                                     .dot3 = dot3,
                                     .subtract_mean = subtract_mean};
  return kernels;
}

}  // namespace setun::ops::cpu
