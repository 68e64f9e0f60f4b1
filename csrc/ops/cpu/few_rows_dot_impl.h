// Rows times a matrix that is read once, widened in registers. Columns are cut into blocks of 32, a
// lane for each: products are rounded, then added to the lane, block after block. Lanes are kept as
// two halves of 16. Of a bf16 block they are its even and its odd columns, which a 32-bit shift and
// a mask make fp32; of an fp32 block its first and last 16. At the end the halves are added, then 8
// + 8, 4 + 4, 2 + 2, 1 + 1 lanes. A rest of columns is padded with zeros. Included by
// few_rows_kernels_impl.h only.
#pragma once

#include <cstdint>
#include <cstring>

#include "ops/cpu/elements_impl.h"
#include "ops/cpu/few_rows_kernels.h"

namespace setun::ops::cpu {
namespace {

// Floats of a register, and rows of a register tile. The matrix is read row after row: several of
// its rows side by side defeat the processor's prefetching and read at a third of the speed.
#if defined(__AVX512F__)
constexpr int kWidth = 16, kRowsOfTile = 4;
#elif defined(__AVX2__)
constexpr int kWidth = 8, kRowsOfTile = 2;
#else
constexpr int kWidth = 4, kRowsOfTile = 1;
#endif
constexpr int kHalf = 16;               // lanes of half a block
constexpr int kParts = kHalf / kWidth;  // registers of half a block

typedef float Vector __attribute__((vector_size(kWidth * sizeof(float))));
typedef uint32_t Bits __attribute__((vector_size(kWidth * sizeof(float))));
typedef float Four __attribute__((vector_size(4 * sizeof(float))));

inline Vector vector_at(const float* x) {
  Vector v;
  std::memcpy(&v, x, sizeof v);
  return v;
}

// Part p of both halves of a block, widened.
struct Halves {
  Vector low, high;
};
inline Halves halves(const Bf16* block, int p) {
  Bits pairs;
  std::memcpy(&pairs, block + 2 * kWidth * p, sizeof pairs);
  const Bits even = pairs << 16, odd = pairs & 0xFFFF0000U;
  Halves out;
  std::memcpy(&out.low, &even, sizeof even);
  std::memcpy(&out.high, &odd, sizeof odd);
  return out;
}
inline Halves halves(const float* block, int p) {
  return {vector_at(block + kWidth * p), vector_at(block + kHalf + kWidth * p)};
}

// Where column c of a block lies in the halves, one after the other.
template <class T>
constexpr int place_of(int c) {
  return sizeof(T) == sizeof(float) ? c : (c % 2) * kHalf + c / 2;
}

void stage(InRow x, int64_t columns, Element matrix, float* staged) {
  const auto fill = [=](auto place) {
    with_elements(x, [=](auto* row) {
      const int64_t end = padded(columns, kDotBlock);
      for (int64_t c = 0; c < end; ++c) {
        const int64_t lane = c % kDotBlock;
        staged[c - lane + place(static_cast<int>(lane))] = c < columns ? load(row, c) : 0.0F;
      }
    });
  };
  matrix == Element::kBf16 ? fill(place_of<Bf16>) : fill(place_of<float>);
}

// The lanes of R rows against one row of the matrix.
template <int R>
struct LaneSums {
  Vector low[R][kParts], high[R][kParts];

  LaneSums() {
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int p = 0; p < kParts; ++p) {
        low[r][p] = high[r][p] = Vector{};
      }
    }
  }

  template <class T>
  void add_block(const float* x, int64_t x_stride, const T* w) {
#pragma GCC unroll 4
    for (int p = 0; p < kParts; ++p) {
      const Halves wide = halves(w, p);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) {
        const float* row = x + r * x_stride + kWidth * p;
        low[r][p] += vector_at(row) * wide.low;
        high[r][p] += vector_at(row + kHalf) * wide.high;
      }
    }
  }

  // 32 lanes added down to 4.
  Four fold(int r) const {
    Four quarters[kHalf / 4];
#pragma GCC unroll 4
    for (int p = 0; p < kParts; ++p) {
      const Vector both = low[r][p] + high[r][p];
      std::memcpy(quarters + kWidth / 4 * p, &both, sizeof both);
    }
    return (quarters[0] + quarters[2]) + (quarters[1] + quarters[3]);
  }
};

// (x[0] + x[2]) + (x[1] + x[3]) of four folded rows at once.
inline Four totals(const Four* x) {
  const auto pairs = [](const Four& a, const Four& b) {
    return __builtin_shufflevector(a, b, 0, 4, 1, 5) + __builtin_shufflevector(a, b, 2, 6, 3, 7);
  };
  const Four first = pairs(x[0], x[1]), second = pairs(x[2], x[3]);
  return __builtin_shufflevector(first, second, 0, 1, 4, 5) +
         __builtin_shufflevector(first, second, 2, 3, 6, 7);
}

template <int R, class T>
LaneSums<R> dot_row(const float* x, const T* w, int64_t columns) {
  const int64_t x_stride = padded(columns, kDotBlock);
  LaneSums<R> sums;
  int64_t c = 0;
  for (; c + kDotBlock <= columns; c += kDotBlock) {
    sums.add_block(x + c, x_stride, w + c);
  }
  if (c < columns) {
    T rest[kDotBlock] = {};
    std::memcpy(rest, w + c, static_cast<std::size_t>(columns - c) * sizeof(T));
    sums.add_block(x + c, x_stride, rest);
  }
  return sums;
}

// R staged rows against `outputs` rows of the matrix, four totals at a time.
template <int R, class T>
void dot_rows(const float* x, const T* w, int64_t stride, int64_t outputs, int64_t columns,
              float* y, int64_t y_stride) {
  const auto fold = [=](int64_t o, Four(&folded)[R][4], int i) {
    const LaneSums<R> sums = dot_row<R>(x, w + o * stride, columns);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      folded[r][i] = sums.fold(r);
    }
  };
  int64_t o = 0;
  for (; o + 4 <= outputs; o += 4) {
    Four folded[R][4];
    for (int i = 0; i < 4; ++i) {
      fold(o + i, folded, i);
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      const Four four = totals(folded[r]);
      std::memcpy(y + r * y_stride + o, &four, sizeof four);
    }
  }
  for (; o < outputs; ++o) {
    Four folded[R][4] = {};
    fold(o, folded, 0);
    for (int r = 0; r < R; ++r) {
      y[r * y_stride + o] = totals(folded[r])[0];
    }
  }
}

// More rows than a tile has meet a few rows of the matrix at a time, which stay in the L1 cache.
void dot(const float* staged, int64_t rows, const MatrixRows& w, int64_t columns, float* y,
         int64_t y_stride) {
  constexpr int64_t kOutputs = 8;
  const int64_t x_stride = padded(columns, kDotBlock);
  with_elements(w.first, [&](auto* matrix) {
    for (int64_t o = 0; o < w.count; o += kOutputs) {
      const int64_t outputs = w.count - o < kOutputs ? w.count - o : kOutputs;
      int64_t r = 0;
      const auto tiles = [&](auto kernel, int64_t count) {
        for (; r + count <= rows; r += count) {
          kernel(staged + r * x_stride, matrix + o * w.stride, w.stride, outputs, columns,
                 y + r * y_stride + o, y_stride);
        }
      };
      using T = std::remove_const_t<std::remove_pointer_t<decltype(matrix)>>;
      tiles(dot_rows<kRowsOfTile, T>, kRowsOfTile);
      tiles(dot_rows<1, T>, 1);
    }
  });
}

void add(const float* x, InRow y, int64_t n, float* out) {
  with_elements(y, [=](auto* row) {
    for (int64_t i = 0; i < n; ++i) {
      out[i] = x[i] + load(row, i);
    }
  });
}

void write(const float* y, int64_t n, OutRow out) {
  with_elements(out, [=](auto* row) {
    for (int64_t i = 0; i < n; ++i) {
      store(row, i, y[i]);
    }
  });
}

}  // namespace
}  // namespace setun::ops::cpu
