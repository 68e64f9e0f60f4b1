// Row kernels of the integer path: codes with their sum, stochastic codes, bf16 to fp32, pairs of
// 4-bit codes in a byte. Included by row_kernels_impl.h only.
#pragma once

#include <cmath>
#include <cstring>

#include "base/counter_rng.h"
#include "ops/cpu/lanes_impl.h"

namespace setun::ops::cpu {
namespace {

int32_t encode_sum(const float* x, int64_t k, float multiplier, float low, float high,
                   int8_t* codes) {
  if (std::isnan(multiplier)) {
    std::memset(codes, 0, static_cast<std::size_t>(k));
    return 0;
  }
  int32_t total = 0;
  for (int64_t i = 0; i < k; ++i) {
    const auto code = static_cast<int32_t>(code_of(x[i] * multiplier, low, high));
    codes[i] = static_cast<int8_t>(code);
    total += code;
  }
  return total;
}

int32_t encode_random(const float* x, int64_t k, float multiplier, float low, float high,
                      uint64_t key, uint64_t counter, int8_t* codes) {
  if (std::isnan(multiplier)) {
    std::memset(codes, 0, static_cast<std::size_t>(k));
    return 0;
  }
  int32_t total = 0;
  for (int64_t i = 0; i < k; ++i) {
    const float u = random_uniform_float(key, counter + static_cast<uint64_t>(i));
    const auto code = static_cast<int32_t>(clipped(std::floor(x[i] * multiplier + u), low, high));
    codes[i] = static_cast<int8_t>(code);
    total += code;
  }
  return total;
}

void widen_bf16(const uint16_t* x, int64_t k, float* y) {
  for (int64_t i = 0; i < k; ++i) {
    const uint32_t bits = static_cast<uint32_t>(x[i]) << 16;
    std::memcpy(y + i, &bits, sizeof bits);
  }
}

void codes_to_float(const int8_t* codes, int64_t k, float* y) {
  for (int64_t i = 0; i < k; ++i) {
    y[i] = codes[i];
  }
}

// The bf16 bits of -1, 0 and 1.
void ternary_to_bf16(const int8_t* codes, int64_t k, uint16_t* y) {
  for (int64_t i = 0; i < k; ++i) {
    const int16_t code = codes[i];
    y[i] = static_cast<uint16_t>((code & 0x8000) | (code != 0 ? 0x3F80 : 0));
  }
}

void pack_int4(const int8_t* codes, int64_t k, uint8_t* packed) {
  for (int64_t i = 0; i < k / 2; ++i) {
    packed[i] = static_cast<uint8_t>((codes[2 * i] & 15) | (codes[2 * i + 1] << 4));
  }
  if (k % 2 != 0) {
    packed[k / 2] = static_cast<uint8_t>(codes[k - 1] & 15);
  }
}

// (n ^ 8) - 8 extends the sign of four bits.
void unpack_int4(const uint8_t* packed, int64_t k, int8_t* codes) {
  for (int64_t i = 0; i < k / 2; ++i) {
    codes[2 * i] = static_cast<int8_t>(((packed[i] & 15) ^ 8) - 8);
    codes[2 * i + 1] = static_cast<int8_t>(((packed[i] >> 4) ^ 8) - 8);
  }
  if (k % 2 != 0) {
    codes[k - 1] = static_cast<int8_t>(((packed[k / 2] & 15) ^ 8) - 8);
  }
}

}  // namespace
}  // namespace setun::ops::cpu
