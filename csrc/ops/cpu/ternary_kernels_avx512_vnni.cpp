// Ternary products with vpdpbusd, which adds four products of unsigned code + 1 bytes and signed
// activations into each of 16 lanes. Packed tiles need no shift: field f of a tile, masked in
// place, is (code + 1) 4^f, so each field has sums of its own that are divided by 4^f at the end,
// exactly.
#include <immintrin.h>

#include "ops/cpu/ternary_table_impl.h"

namespace setun::ops::cpu {
namespace {

constexpr int kRows = 6;  // of a register tile: 6 x 4 sums, 4 panel registers, 1 activation

inline __m512i broadcast_quad(const int8_t* a) {
  int32_t quad = 0;
  std::memcpy(&quad, a, sizeof quad);
  return _mm512_set1_epi32(quad);
}

// R rows of activations; U tiles at a time, each with sums of its own, hide the latency.
template <int R, int U>
void dot_rows(const int8_t* a, int64_t stride, const uint8_t* tiles, int64_t count, int32_t* sums) {
  __m512i field[U][R][kTileQuads];
#pragma GCC unroll 4
  for (int u = 0; u < U; ++u) {
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int f = 0; f < kTileQuads; ++f) {
        field[u][r][f] = _mm512_setzero_si512();
      }
    }
  }
  const auto add_tile = [&](int64_t t, __m512i(&sum)[R][kTileQuads]) {
    const __m512i packed = _mm512_loadu_si512(tiles + t * kTileBytes);
#pragma GCC unroll 4
    for (int f = 0; f < kTileQuads; ++f) {
      const __m512i plus_one =
          _mm512_and_si512(packed, _mm512_set1_epi8(static_cast<char>(3 << (2 * f))));
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) {
        const __m512i quad = broadcast_quad(a + r * stride + t * kTile + kQuad * f);
        sum[r][f] = _mm512_dpbusd_epi32(sum[r][f], plus_one, quad);
      }
    }
  };
  int64_t t = 0;
  for (; t + U <= count; t += U) {
#pragma GCC unroll 4
    for (int u = 0; u < U; ++u) {
      add_tile(t + u, field[u]);
    }
  }
  for (; t < count; ++t) {
    add_tile(t, field[0]);
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
    __m512i total = _mm512_setzero_si512();
#pragma GCC unroll 4
    for (int f = 0; f < kTileQuads; ++f) {
      __m512i sum = field[0][r][f];
#pragma GCC unroll 4
      for (int u = 1; u < U; ++u) {
        sum = _mm512_add_epi32(sum, field[u][r][f]);
      }
      total = _mm512_add_epi32(total, _mm512_srai_epi32(sum, static_cast<unsigned>(2 * f)));
    }
    _mm512_storeu_si512(sums + r * kTile, total);
  }
}

void tile_dot(const ActivationRows& a, const uint8_t* tiles, int64_t count, int32_t* sums) {
  int64_t row = 0;
  const auto rows = [&](auto kernel, int64_t n) {
    for (; row + n <= a.count; row += n) {
      kernel(a.data + row * a.stride, a.stride, tiles, count, sums + row * kTile);
    }
  };
  rows(dot_rows<4, 1>, 4);
  rows(dot_rows<2, 2>, 2);
  rows(dot_rows<1, 4>, 1);
}

// Panel order: [quad][row tile][64 bytes], so that a step of panel_dot reads 256 bytes in a row.
void unpack_panel(const uint8_t* tiles, int64_t stride, int64_t present, int64_t count,
                  uint8_t* panel) {
  const __m512i mask = _mm512_set1_epi8(3);
  for (int64_t t = 0; t < kPanelTiles; ++t) {
    for (int64_t i = 0; i < count; ++i) {
      const __m512i packed = t < present ? _mm512_loadu_si512(tiles + t * stride + i * kTileBytes)
                                         : _mm512_setzero_si512();
      uint8_t* out = panel + (i * kTileQuads * kPanelTiles + t) * kTileBytes;
#pragma GCC unroll 4
      for (int f = 0; f < kTileQuads; ++f) {
        const __m512i field = _mm512_srli_epi16(packed, static_cast<unsigned>(2 * f));
        _mm512_storeu_si512(out + f * kPanelTiles * kTileBytes, _mm512_and_si512(field, mask));
      }
    }
  }
}

template <int R>
void panel_rows(const int8_t* a, int64_t stride, const uint8_t* panel, int64_t quads,
                int32_t* sums) {
  __m512i sum[R][kPanelTiles];
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int64_t t = 0; t < kPanelTiles; ++t) {
      sum[r][t] = _mm512_setzero_si512();
    }
  }
  for (int64_t q = 0; q < quads; ++q) {
    __m512i plus_one[kPanelTiles];
#pragma GCC unroll 4
    for (int64_t t = 0; t < kPanelTiles; ++t) {
      plus_one[t] = _mm512_loadu_si512(panel + (q * kPanelTiles + t) * kTileBytes);
    }
#pragma GCC unroll 6
    for (int r = 0; r < R; ++r) {
      const __m512i quad = broadcast_quad(a + r * stride + q * kQuad);
#pragma GCC unroll 4
      for (int64_t t = 0; t < kPanelTiles; ++t) {
        sum[r][t] = _mm512_dpbusd_epi32(sum[r][t], plus_one[t], quad);
      }
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int64_t t = 0; t < kPanelTiles; ++t) {
      _mm512_storeu_si512(sums + r * kPanelRows + t * kTile, sum[r][t]);
    }
  }
}

void panel_dot(const ActivationRows& a, const uint8_t* panel, int64_t count, int32_t* sums) {
  by_rows<kRows>(a, sums, [=, &a](auto rows, const int8_t* first, int32_t* sum) {
    panel_rows<rows>(first, a.stride, panel, count * kTileQuads, sum);
  });
}

}  // namespace

const TernaryKernels& ternary_kernels_avx512_vnni() {
  static const TernaryKernels kernels =
      with_products(CpuPath::kAvx512Vnni, tile_dot, unpack_panel, panel_dot);
  return kernels;
}

}  // namespace setun::ops::cpu
