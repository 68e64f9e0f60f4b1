// Sums of products of 8-bit codes, exact in 32 bits: with vpdpbusd, whose first operand is
// unsigned, the staged codes are code + 128 and 128 times the sum of the matrix's row is taken off
// again; with NEON's sdot on both as they are; elsewhere in plain loops, which compilers turn into
// widening multiply-adds of 16 bits. Included by few_rows_kernels_impl.h only.
#pragma once

#include <cstdint>
#include <cstring>
#if defined(__AVX512VNNI__)
#include <immintrin.h>
#elif defined(__ARM_FEATURE_DOTPROD)
#include <arm_neon.h>
#endif

#include "ops/cpu/elements_impl.h"
#include "ops/cpu/few_rows_kernels.h"

namespace setun::ops::cpu {
namespace {

#if defined(__AVX512VNNI__)
constexpr int kStagedOffset = 128;
#else
constexpr int kStagedOffset = 0;
#endif

void stage_codes(const int8_t* codes, int64_t columns, int8_t* staged) {
  std::memset(staged, 0, static_cast<std::size_t>(padded(columns, kCodeBlock)));
  for (int64_t c = 0; c < columns; ++c) {
    staged[c] = static_cast<int8_t>(codes[c] + kStagedOffset);
  }
}

// One row of the matrix after the other: several side by side defeat the processor's prefetching.
#if defined(__AVX512VNNI__)

inline int32_t dot_code_row(const int8_t* a, const int8_t* w, int64_t columns, int32_t w_sum) {
  __m512i even = _mm512_setzero_si512(), odd = even;
  int64_t c = 0;
  for (; c + 2 * kCodeBlock <= columns; c += 2 * kCodeBlock) {
    even = _mm512_dpbusd_epi32(even, _mm512_loadu_si512(a + c), _mm512_loadu_si512(w + c));
    odd = _mm512_dpbusd_epi32(odd, _mm512_loadu_si512(a + c + kCodeBlock),
                              _mm512_loadu_si512(w + c + kCodeBlock));
  }
  for (; c < columns; c += kCodeBlock) {
    const int64_t left = columns - c < kCodeBlock ? columns - c : kCodeBlock;
    const __mmask64 present = ~__mmask64{0} >> (kCodeBlock - left);
    const __m512i rest = _mm512_maskz_loadu_epi8(present, w + c);
    even = _mm512_dpbusd_epi32(even, _mm512_loadu_si512(a + c), rest);
  }
  // The sum with the offset may wrap, and comes back when the offset is taken off.
  const auto wrapped = static_cast<uint32_t>(_mm512_reduce_add_epi32(_mm512_add_epi32(even, odd)));
  return static_cast<int32_t>(wrapped - uint32_t{kStagedOffset} * static_cast<uint32_t>(w_sum));
}

#elif defined(__ARM_FEATURE_DOTPROD)

inline int32_t dot_code_row(const int8_t* a, const int8_t* w, int64_t columns, int32_t) {
  int32x4_t lanes = vdupq_n_s32(0);
  int64_t c = 0;
  for (; c + 16 <= columns; c += 16) {
    lanes = vdotq_s32(lanes, vld1q_s8(a + c), vld1q_s8(w + c));
  }
  int32_t sum = vaddvq_s32(lanes);
  for (; c < columns; ++c) {
    sum += a[c] * w[c];
  }
  return sum;
}

#else

inline int32_t dot_code_row(const int8_t* __restrict a, const int8_t* __restrict w, int64_t columns,
                            int32_t) {
  int32_t sum = 0;
  for (int64_t c = 0; c < columns; ++c) {
    sum += a[c] * w[c];
  }
  return sum;
}

#endif

void dot_codes(const int8_t* staged, const int8_t* w, int64_t outputs, int64_t columns,
               const int32_t* w_sums, int32_t* sums) {
  for (int64_t o = 0; o < outputs; ++o) {
    sums[o] = dot_code_row(staged, w + o * columns, columns, w_sums[o]);
  }
}

void finish_codes(const int32_t* sums, int64_t n, float s, const float* w_scale, OutRow out) {
  with_elements(out, [=](auto* row) {
    for (int64_t o = 0; o < n; ++o) {
      store(row, o, static_cast<float>(sums[o]) / (s * w_scale[o]));
    }
  });
}

}  // namespace
}  // namespace setun::ops::cpu
