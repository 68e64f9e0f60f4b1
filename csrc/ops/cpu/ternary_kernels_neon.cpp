// Ternary products with sdot, which adds four products of signed bytes into each of 4 lanes and can
// take one quad of 16 activations for all lanes. code + 1 is 0, 1 or 2, so it is a signed byte too.
// Loops over sums are unrolled by pragma: g++ keeps the sums in registers only then. Compiled for
// AArch64 with the dot product extension (FEAT_DotProd).
#include <arm_neon.h>

#include "ops/cpu/ternary_table_impl.h"

namespace setun::ops::cpu {
namespace {

constexpr int kRows = 4;   // of a register tile: 4 x 4 sums
constexpr int kParts = 4;  // registers of a field of a tile: 4 outputs each
constexpr int64_t kPartBytes = kTileBytes / kParts;

// Field f of a tile, from packed codes and from an unpacked panel.
struct PackedTile {
  static constexpr int64_t kBytes = kTileBytes;
  template <int f>
  static int8x16_t part(const uint8_t* tile, int index) {
    const uint8x16_t packed = vld1q_u8(tile + index * kPartBytes);
    if constexpr (f == 0) {
      return vreinterpretq_s8_u8(vandq_u8(packed, vdupq_n_u8(3)));
    } else {
      return vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(packed, 2 * f), vdupq_n_u8(3)));
    }
  }
};
struct UnpackedTile {
  static constexpr int64_t kBytes = kTileBytes * kTileQuads;
  template <int f>
  static int8x16_t part(const uint8_t* tile, int index) {
    return vreinterpretq_s8_u8(vld1q_u8(tile + f * kTileBytes + index * kPartBytes));
  }
};

template <class Tile, int R, int f>
inline void add_field(const uint8_t* tile, const int8x16_t (&a)[R], int32x4_t (&sums)[R][kParts]) {
#pragma GCC unroll 4
  for (int p = 0; p < kParts; ++p) {
    const int8x16_t plus_one = Tile::template part<f>(tile, p);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      sums[r][p] = vdotq_laneq_s32(sums[r][p], plus_one, a[r], f);
    }
  }
}

// R rows of activations against one row of tiles; sums `width` apart.
template <class Tile, int R>
void dot_rows(const int8_t* a, int64_t stride, const uint8_t* tiles, int64_t count, int32_t* sums,
              int64_t width) {
  int32x4_t sum[R][kParts];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int p = 0; p < kParts; ++p) {
      sum[r][p] = vdupq_n_s32(0);
    }
  }
  for (int64_t t = 0; t < count; ++t) {
    const uint8_t* tile = tiles + t * Tile::kBytes;
    int8x16_t quads[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      quads[r] = vld1q_s8(a + r * stride + t * kTile);
    }
    add_field<Tile, R, 0>(tile, quads, sum);
    add_field<Tile, R, 1>(tile, quads, sum);
    add_field<Tile, R, 2>(tile, quads, sum);
    add_field<Tile, R, 3>(tile, quads, sum);
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int p = 0; p < kParts; ++p) {
      vst1q_s32(sums + r * width + p * kTile / kParts, sum[r][p]);
    }
  }
}

template <class Tile>
void all_rows(const ActivationRows& a, const uint8_t* tiles, int64_t count, int32_t* sums,
              int64_t width) {
  int64_t row = 0;
  const auto rows = [&](auto kernel, int64_t n) {
    for (; row + n <= a.count; row += n) {
      kernel(a.data + row * a.stride, a.stride, tiles, count, sums + row * width, width);
    }
  };
  rows(dot_rows<Tile, kRows>, kRows);
  rows(dot_rows<Tile, 1>, 1);
}

void tile_dot(const ActivationRows& a, const uint8_t* tiles, int64_t count, int32_t* sums) {
  all_rows<PackedTile>(a, tiles, count, sums, kTile);
}

// Panel order: [row tile][tile][field][64 bytes].
void unpack_panel(const uint8_t* tiles, int64_t stride, int64_t present, int64_t count,
                  uint8_t* panel) {
  for (int64_t t = 0; t < kPanelTiles; ++t) {
    for (int64_t i = 0; i < count; ++i) {
      const uint8_t* tile = tiles + t * stride + i * kTileBytes;
      uint8_t* out = panel + (t * count + i) * UnpackedTile::kBytes;
      for (int64_t part = 0; part < kParts; ++part) {
        const uint8x16_t packed = t < present ? vld1q_u8(tile + part * kPartBytes) : vdupq_n_u8(0);
        for (int f = 0; f < kTileQuads; ++f) {
          const uint8x16_t field = vshlq_u8(packed, vdupq_n_s8(static_cast<int8_t>(-2 * f)));
          vst1q_u8(out + f * kTileBytes + part * kPartBytes, vandq_u8(field, vdupq_n_u8(3)));
        }
      }
    }
  }
}

void panel_dot(const ActivationRows& a, const uint8_t* panel, int64_t count, int32_t* sums) {
  for (int64_t t = 0; t < kPanelTiles; ++t) {
    all_rows<UnpackedTile>(a, panel + t * count * UnpackedTile::kBytes, count, sums + t * kTile,
                           kPanelRows);
  }
}

}  // namespace

const TernaryKernels& ternary_kernels_neon() {
  static const TernaryKernels kernels =
      with_products(CpuPath::kNeonDot, tile_dot, unpack_panel, panel_dot);
  return kernels;
}

}  // namespace setun::ops::cpu
