// The fast Walsh-Hadamard transform of consecutive blocks. Rounds h = 1, 2, 4, ... replace the pair
// (u, v) = (x[i], x[i + h]) by (u + v, u - v); one multiplication by 1 / sqrt(block) follows. Which
// pairs meet in which round is fixed, so vector width and grouping of rounds change no bit. Rounds
// below the vector width are shuffles inside a register; the others work on up to kRadix registers
// at once, so a block of 4,096 is read and written twice. Included by row_kernels_impl.h only.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "ops/cpu/row_kernels.h"

namespace setun::ops::cpu {
namespace {

// Registers of the instruction set this file is compiled for, and how many fit beside each other.
#if defined(__AVX512F__)
constexpr int kWidth = 16, kRadix = 16;
#elif defined(__AVX2__)
constexpr int kWidth = 8, kRadix = 8;
#else
constexpr int kWidth = 4, kRadix = 8;
#endif

typedef float Vector __attribute__((vector_size(kWidth * sizeof(float))));
typedef uint32_t Bits __attribute__((vector_size(kWidth * sizeof(float))));

inline Vector load(const float* x) {
  Vector v;
  std::memcpy(&v, x, sizeof v);
  return v;
}

inline void store(float* y, const Vector& v) { std::memcpy(y, &v, sizeof v); }

// One round inside a register: lane i becomes x[i] + x[i + h], or x[i - h] - x[i] in the upper half
// of a pair. (-x is the sign bit flipped, and u + -v is u - v.)
template <int h, std::size_t... i>
inline void lane_round(Vector& v, std::index_sequence<i...>) {
  constexpr Bits kSigns = {((i & h) != 0 ? 0x80000000U : 0U)...};
  const Vector other = __builtin_shufflevector(v, v, (i ^ h)...);
  Bits bits;
  std::memcpy(&bits, &v, sizeof v);
  bits ^= kSigns;
  std::memcpy(&v, &bits, sizeof v);
  v = other + v;
}

// The rounds h = 1, 2, ... below min(block, kWidth).
template <int h = 1>
inline void lane_rounds(Vector& v, int64_t block) {
  if constexpr (h < kWidth) {
    if (h < block) {
      lane_round<h>(v, std::make_index_sequence<kWidth>());
      lane_rounds<2 * h>(v, block);
    }
  }
}

// log2(count) rounds over `count` registers, the first between neighbours.
template <int count>
inline void register_rounds(Vector* v) {
#pragma GCC unroll 4
  for (int h = 1; h < count; h *= 2) {
#pragma GCC unroll 16
    for (int i = 0; i < count; ++i) {
      if ((i & h) == 0) {
        const Vector sum = v[i] + v[i + h];
        v[i + h] = v[i] - v[i + h];
        v[i] = sum;
      }
    }
  }
}

// The rounds below kWidth * count of every kWidth * count elements.
template <int count>
void first_pass(const float* x, int64_t n, float factor, float* y) {
  for (int64_t start = 0; start < n; start += kWidth * count) {
    Vector v[count];
#pragma GCC unroll 16
    for (int i = 0; i < count; ++i) {
      v[i] = load(x + start + i * kWidth);
      lane_rounds(v[i], kWidth);
    }
    register_rounds<count>(v);
#pragma GCC unroll 16
    for (int i = 0; i < count; ++i) {
      store(y + start + i * kWidth, v[i] * factor);
    }
  }
}

// The rounds h, 2h, ... h * count / 2 of every h * count elements, in place.
template <int count>
void later_pass(float* y, int64_t n, int64_t h, float factor) {
  for (int64_t start = 0; start < n; start += h * count) {
    for (int64_t column = start; column < start + h; column += kWidth) {
      Vector v[count];
#pragma GCC unroll 16
      for (int i = 0; i < count; ++i) {
        v[i] = load(y + column + i * h);
      }
      register_rounds<count>(v);
#pragma GCC unroll 16
      for (int i = 0; i < count; ++i) {
        store(y + column + i * h, v[i] * factor);
      }
    }
  }
}

// Calls pass(integral constant) with min(wanted, kRadix), wanted a power of two.
template <int count = kRadix, class Pass>
inline void with_count(int64_t wanted, const Pass& pass) {
  if constexpr (count > 1) {
    if (wanted < count) {
      with_count<count / 2>(wanted, pass);
      return;
    }
  }
  pass(std::integral_constant<int, count>());
}

// Blocks below a register's width: several in one register, the last ones one at a time.
void small_blocks(const float* x, int64_t n, int64_t block, float factor, float* y) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) {
    Vector v = load(x + i);
    lane_rounds(v, block);
    store(y + i, v * factor);
  }
  if (i < n) {
    float rest[kWidth] = {};
    std::memcpy(rest, x + i, static_cast<std::size_t>(n - i) * sizeof(float));
    Vector v = load(rest);
    lane_rounds(v, block);
    store(rest, v * factor);
    std::memcpy(y + i, rest, static_cast<std::size_t>(n - i) * sizeof(float));
  }
}

void hadamard(const float* x, int64_t n, int64_t block, float* y) {
  const float factor = 1.0F / std::sqrt(static_cast<float>(block));
  if (block < kWidth) {
    small_blocks(x, n, block, factor, y);
    return;
  }
  for (int64_t start = 0; start < n; start += block) {  // a block stays in the cache between passes
    int64_t h = 1;
    // The passes before the last multiply by 1, which changes nothing.
    with_count(block / kWidth, [&](auto count) {
      h = kWidth * count;
      first_pass<count>(x + start, block, h == block ? factor : 1.0F, y + start);
    });
    while (h < block) {
      with_count(block / h, [&](auto count) {
        later_pass<count>(y + start, block, h, h * count == block ? factor : 1.0F);
        h *= count;
      });
    }
  }
}

}  // namespace
}  // namespace setun::ops::cpu
