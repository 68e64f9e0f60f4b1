// Ternary products with vpmaddubsw, which adds two products of unsigned code + 1 bytes and signed
// activations into each of 16 lanes of 16 bits. A pair is at least -512 and at most 508, so 64
// steps fit (-32768 exactly, in the worst case) before the lanes are added in pairs to 32 bits.
// Loops over sums are unrolled by pragma: g++ keeps the sums in registers only then.
#include <immintrin.h>

#include "ops/cpu/ternary_table_impl.h"

namespace setun::ops::cpu {
namespace {

// Rows of a register tile: 6 x 2 sums, 2 panel registers, 1 activation, 1 product. g++ 12 spills
// above 4.
#if defined(__clang__)
constexpr int kRows = 6;
#else
constexpr int kRows = 4;
#endif
constexpr int kHalves = 2;  // registers of a field of a tile: 8 outputs each
constexpr int64_t kSafeSteps = 64;
constexpr int64_t kHalfBytes = kTileBytes / kHalves;

inline __m256i load(const void* from) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(from));
}

inline __m256i broadcast_quad(const int8_t* a) {
  int32_t quad = 0;
  std::memcpy(&quad, a, sizeof quad);
  return _mm256_set1_epi32(quad);
}

// sums += the 16-bit lanes in pairs: one 32-bit sum an output.
inline void add_widened(int32_t* sums, __m256i lanes) {
  const __m256i wide = _mm256_madd_epi16(lanes, _mm256_set1_epi16(1));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums), _mm256_add_epi32(load(sums), wide));
}

// Sums of R rows over packed tiles, kept apart by what masking leaves: fields 0 and 2 as they are
// and fields 1 and 3 four times too large, so that a tile needs one shift.
template <int R>
struct FieldSums {
  __m256i lanes[R][kHalves][2];

  FieldSums() {
#pragma GCC unroll 2
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
      for (int half = 0; half < kHalves; ++half) {
        lanes[r][half][0] = lanes[r][half][1] = _mm256_setzero_si256();
      }
    }
  }
  // `pair` is packed or packed >> 4: two fields, multiplied by the quads at a.
  void add(__m256i pair, int half, const int8_t* a, int64_t stride) {
#pragma GCC unroll 2
    for (int f = 0; f < 2; ++f) {
      const __m256i plus_one = _mm256_and_si256(pair, _mm256_set1_epi8(f == 0 ? 3 : 12));
#pragma GCC unroll 2
      for (int r = 0; r < R; ++r) {
        const __m256i quad = broadcast_quad(a + r * stride + kQuad * f);
        __m256i& sum = lanes[r][half][f];
        sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(plus_one, quad));
      }
    }
  }
  void add_to(int32_t* sums) const {
    const __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 2
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
      for (int half = 0; half < kHalves; ++half) {
        auto* at = reinterpret_cast<__m256i*>(sums + r * kTile + half * kTile / kHalves);
        const __m256i once = _mm256_madd_epi16(lanes[r][half][0], ones);
        const __m256i fourfold = _mm256_madd_epi16(lanes[r][half][1], ones);
        const __m256i total = _mm256_add_epi32(once, _mm256_srai_epi32(fourfold, 2));
        _mm256_storeu_si256(at, _mm256_add_epi32(load(at), total));
      }
    }
  }
};

// R rows of activations against one row of packed tiles; sums [R][16] are zero before.
template <int R>
void dot_rows(const int8_t* a, int64_t stride, const uint8_t* tiles, int64_t count, int32_t* sums) {
  constexpr int64_t kSafeTiles = kSafeSteps / 4 / 2;  // two steps of four times the size a tile
  for (int64_t start = 0; start < count; start += kSafeTiles) {
    const int64_t end = start + kSafeTiles < count ? start + kSafeTiles : count;
    FieldSums<R> fields;
    for (int64_t t = start; t < end; ++t) {
#pragma GCC unroll 2
      for (int half = 0; half < kHalves; ++half) {
        const __m256i packed = load(tiles + t * kTileBytes + half * kHalfBytes);
        fields.add(packed, half, a + t * kTile, stride);
        fields.add(_mm256_srli_epi16(packed, 4), half, a + t * kTile + 2 * kQuad, stride);
      }
    }
    fields.add_to(sums);
  }
}

void tile_dot(const ActivationRows& a, const uint8_t* tiles, int64_t count, int32_t* sums) {
  std::memset(sums, 0, static_cast<std::size_t>(a.count * kTile) * sizeof(int32_t));
  int64_t row = 0;
  const auto rows = [&](auto kernel, int64_t n) {
    for (; row + n <= a.count; row += n) {
      kernel(a.data + row * a.stride, a.stride, tiles, count, sums + row * kTile);
    }
  };
  rows(dot_rows<2>, 2);
  rows(dot_rows<1>, 1);
}

// Panel order: [row tile][quad][64 bytes].
void unpack_panel(const uint8_t* tiles, int64_t stride, int64_t present, int64_t count,
                  uint8_t* panel) {
  const __m256i mask = _mm256_set1_epi8(3);
  for (int64_t t = 0; t < kPanelTiles; ++t) {
    for (int64_t i = 0; i < count * kHalves; ++i) {
      const __m256i packed =
          t < present ? load(tiles + t * stride + i * kHalfBytes) : _mm256_setzero_si256();
      uint8_t* out =
          panel + ((t * count + i / kHalves) * kTileQuads * kHalves + i % kHalves) * kHalfBytes;
#pragma GCC unroll 4
      for (int f = 0; f < kTileQuads; ++f) {
        const __m256i plus_one = _mm256_and_si256(_mm256_srli_epi16(packed, 2 * f), mask);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + f * kTileBytes), plus_one);
      }
    }
  }
}

// R rows against one row tile of the panel; sums [R][64] begin at the tile's outputs.
template <int R>
void panel_rows(const int8_t* a, int64_t stride, const uint8_t* tile, int64_t quads,
                int32_t* sums) {
  for (int r = 0; r < R; ++r) {
    std::memset(sums + r * kPanelRows, 0, kTile * sizeof(int32_t));
  }
  for (int64_t start = 0; start < quads; start += kSafeSteps) {
    const int64_t end = start + kSafeSteps < quads ? start + kSafeSteps : quads;
    __m256i lanes[R][kHalves];
#pragma GCC unroll 6
    for (int r = 0; r < R; ++r) {
      lanes[r][0] = lanes[r][1] = _mm256_setzero_si256();
    }
    for (int64_t q = start; q < end; ++q) {
      const __m256i low = load(tile + q * kTileBytes);
      const __m256i high = load(tile + q * kTileBytes + kHalfBytes);
#pragma GCC unroll 6
      for (int r = 0; r < R; ++r) {
        const __m256i quad = broadcast_quad(a + r * stride + q * kQuad);
        lanes[r][0] = _mm256_add_epi16(lanes[r][0], _mm256_maddubs_epi16(low, quad));
        lanes[r][1] = _mm256_add_epi16(lanes[r][1], _mm256_maddubs_epi16(high, quad));
      }
    }
#pragma GCC unroll 6
    for (int r = 0; r < R; ++r) {
      add_widened(sums + r * kPanelRows, lanes[r][0]);
      add_widened(sums + r * kPanelRows + kTile / kHalves, lanes[r][1]);
    }
  }
}

void panel_dot(const ActivationRows& a, const uint8_t* panel, int64_t count, int32_t* sums) {
  const int64_t quads = count * kTileQuads;
  by_rows<kRows>(a, sums, [=, &a](auto rows, const int8_t* first, int32_t* sum) {
    for (int64_t t = 0; t < kPanelTiles; ++t) {
      panel_rows<rows>(first, a.stride, panel + t * quads * kTileBytes, quads, sum + t * kTile);
    }
  });
}

}  // namespace

const TernaryKernels& ternary_kernels_avx2() {
  static const TernaryKernels kernels =
      with_products(CpuPath::kAvx2, tile_dot, unpack_panel, panel_dot);
  return kernels;
}

}  // namespace setun::ops::cpu
