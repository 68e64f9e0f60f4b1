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

#if defined(__AVX512VNNI__)

// O outputs side by side hide the latency.
template <int O>
void dot_code_rows(const int8_t* a, const int8_t* w, int64_t columns, const int32_t* w_sums,
                   int32_t* sums) {
  __m512i lanes[O];
#pragma GCC unroll 4
  for (int o = 0; o < O; ++o) {
    lanes[o] = _mm512_setzero_si512();
  }
  int64_t c = 0;
  for (; c + kCodeBlock <= columns; c += kCodeBlock) {
    const __m512i x = _mm512_loadu_si512(a + c);
#pragma GCC unroll 4
    for (int o = 0; o < O; ++o) {
      lanes[o] = _mm512_dpbusd_epi32(lanes[o], x, _mm512_loadu_si512(w + o * columns + c));
    }
  }
  if (c < columns) {
    const __mmask64 present = ~__mmask64{0} >> (kCodeBlock - (columns - c));
    const __m512i x = _mm512_loadu_si512(a + c);
#pragma GCC unroll 4
    for (int o = 0; o < O; ++o) {
      const __m512i rest = _mm512_maskz_loadu_epi8(present, w + o * columns + c);
      lanes[o] = _mm512_dpbusd_epi32(lanes[o], x, rest);
    }
  }
#pragma GCC unroll 4
  for (int o = 0; o < O; ++o) {
    sums[o] = _mm512_reduce_add_epi32(lanes[o]) - kStagedOffset * w_sums[o];
  }
}

#elif defined(__ARM_FEATURE_DOTPROD)

template <int O>
void dot_code_rows(const int8_t* a, const int8_t* w, int64_t columns, const int32_t*,
                   int32_t* sums) {
  int32x4_t lanes[O];
  for (int o = 0; o < O; ++o) {
    lanes[o] = vdupq_n_s32(0);
  }
  int64_t c = 0;
  for (; c + 16 <= columns; c += 16) {
    const int8x16_t x = vld1q_s8(a + c);
    for (int o = 0; o < O; ++o) {
      lanes[o] = vdotq_s32(lanes[o], x, vld1q_s8(w + o * columns + c));
    }
  }
  for (int o = 0; o < O; ++o) {
    sums[o] = vaddvq_s32(lanes[o]);
    for (int64_t i = c; i < columns; ++i) {
      sums[o] += a[i] * w[o * columns + i];
    }
  }
}

#else

template <int O>
void dot_code_rows(const int8_t* __restrict a, const int8_t* __restrict w, int64_t columns,
                   const int32_t*, int32_t* sums) {
  for (int o = 0; o < O; ++o) {
    int32_t sum = 0;
    for (int64_t c = 0; c < columns; ++c) {
      sum += a[c] * w[o * columns + c];
    }
    sums[o] = sum;
  }
}

#endif

void dot_codes(const int8_t* staged, const int8_t* w, int64_t outputs, int64_t columns,
               const int32_t* w_sums, int32_t* sums) {
  constexpr int kSideBySide = 4;
  int64_t o = 0;
  for (; o + kSideBySide <= outputs; o += kSideBySide) {
    dot_code_rows<kSideBySide>(staged, w + o * columns, columns, w_sums + o, sums + o);
  }
  for (; o < outputs; ++o) {
    dot_code_rows<1>(staged, w + o * columns, columns, w_sums + o, sums + o);
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
