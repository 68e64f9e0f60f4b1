// The one product that attention is made of: a tile of kTileRows x kPanel sums held in registers,
// c(i, j) = sum over k, in order, of a(i, k) b(k, j). a is read one element at a time from any
// strides, so that a transposed operand needs no copy; b by vectors, from panels of kPanel columns.
// Every sum is its own chain, so its bits depend on neither the tile's nor the vector's size.
// Included by attention_impl.h only.
#pragma once

#include <cstring>
#include <type_traits>

#include "ops/cpu/attention_kernels.h"
#include "ops/cpu/elements_impl.h"

namespace setun::ops::cpu {
namespace {

#if defined(__AVX512F__)
constexpr int kWidth = 16, kTileRows = 8;
#elif defined(__AVX2__)
constexpr int kWidth = 8, kTileRows = 4;
#else
constexpr int kWidth = 4, kTileRows = 4;
#endif
constexpr int kPanel = 2 * kWidth;
static_assert(kQueryBlock % kTileRows == 0 && kPanel % kTileRows == 0);

using Vec = float __attribute__((vector_size(kWidth * sizeof(float))));

inline Vec load_vec(const float* from) {
  Vec v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

inline void store_vec(float* to, Vec v) { std::memcpy(to, &v, sizeof v); }

// Element (i, k) lies at data[i * row + k * step].
struct Strided {
  const float* data;
  int64_t row, step;
};

enum class Sums { kFresh, kAdded };

template <Sums kSums>
inline void tile(Strided a, const float* b, int64_t b_stride, int64_t depth, float* c,
                 int64_t c_stride) {
  Vec sums[kTileRows][2];
  for (int i = 0; i < kTileRows; ++i) {
    for (int j = 0; j < 2; ++j) {
      sums[i][j] = kSums == Sums::kAdded ? load_vec(c + i * c_stride + j * kWidth) : Vec{};
    }
  }
  for (int64_t k = 0; k < depth; ++k) {
    const Vec left = load_vec(b + k * b_stride), right = load_vec(b + k * b_stride + kWidth);
    const float* column = a.data + k * a.step;
    for (int i = 0; i < kTileRows; ++i) {
      const float value = column[i * a.row];
      sums[i][0] += value * left;
      sums[i][1] += value * right;
    }
  }
  for (int i = 0; i < kTileRows; ++i) {
    for (int j = 0; j < 2; ++j) {
      store_vec(c + i * c_stride + j * kWidth, sums[i][j]);
    }
  }
}

constexpr int64_t round_up(int64_t n, int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}
constexpr int64_t round_down(int64_t n, int64_t multiple) { return n / multiple * multiple; }

template <class Matrix>
auto row_of(const Matrix& m, int64_t row) {
  constexpr int64_t kBytes[] = {4, 2};  // of Element
  using Byte = std::conditional_t<std::is_same_v<Matrix, InMatrix>, const char, char>;
  auto* data = static_cast<Byte*>(m.data) + row * m.stride * kBytes[static_cast<int>(m.type)];
  if constexpr (std::is_same_v<Matrix, InMatrix>) {
    return InRow{data, m.type};
  } else {
    return OutRow{data, m.type};
  }
}

// to[i] = row[i] * factor, then zeros up to `padded`.
inline void widen(InRow row, int64_t n, float factor, int64_t padded, float* to) {
  with_elements(row, [=](auto* from) {
    for (int64_t i = 0; i < n; ++i) {
      to[i] = load(from, i) * factor;
    }
  });
  for (int64_t i = n; i < padded; ++i) {
    to[i] = 0;
  }
}

inline void write(const float* from, int64_t n, float factor, OutRow row) {
  with_elements(row, [=](auto* to) {
    for (int64_t i = 0; i < n; ++i) {
      store(to, i, from[i] * factor);
    }
  });
}

// Rows as the right operand of a product that adds over them: panels over the columns, each
// `padded` rows of kPanel elements. Rows and columns behind the matrix are zeros.
inline void pack_rows(InMatrix m, int64_t rows, int64_t columns, int64_t padded, float* to) {
  const int64_t panels = round_up(columns, kPanel) / kPanel;
  for (int64_t row = 0; row < padded; ++row) {
    for (int64_t panel = 0; panel < panels; ++panel) {
      float* out = to + (panel * padded + row) * kPanel;
      for (int64_t j = 0; j < kPanel; ++j) {
        out[j] = 0;
      }
    }
    if (row < rows) {
      with_elements(row_of(m, row), [&](auto* from) {
        for (int64_t i = 0; i < columns; ++i) {
          to[(i / kPanel * padded + row) * kPanel + i % kPanel] = load(from, i);
        }
      });
    }
  }
}

// The transpose as the right operand: panels over the rows, each `columns` rows of kPanel elements.
inline void pack_columns(InMatrix m, int64_t rows, int64_t columns, float* to) {
  for (int64_t row = 0; row < round_up(rows, kPanel); ++row) {
    float* out = to + row / kPanel * columns * kPanel + row % kPanel;
    if (row >= rows) {
      for (int64_t i = 0; i < columns; ++i) {
        out[i * kPanel] = 0;
      }
      continue;
    }
    with_elements(row_of(m, row), [&](auto* from) {
      for (int64_t i = 0; i < columns; ++i) {
        out[i * kPanel] = load(from, i);
      }
    });
  }
}

}  // namespace
}  // namespace setun::ops::cpu
