// Ternary products in plain loops, for processors without a faster path.
#include "ops/cpu/ternary_table_impl.h"

namespace setun::ops::cpu {
namespace {

void tile_dot(const ActivationRows& a, const uint8_t* tiles, int64_t count, int32_t* sums) {
  for (int64_t m = 0; m < a.count; ++m) {
    int32_t lanes[kTile] = {};
    for (int64_t t = 0; t < count; ++t) {
      const int8_t* quad = a.data + m * a.stride + t * kTile;
      for (int f = 0; f < kTileQuads; ++f) {
        for (int i = 0; i < kTileBytes; ++i) {
          const int32_t plus_one = (tiles[t * kTileBytes + i] >> (2 * f)) & 3;
          lanes[i / kQuad] += plus_one * quad[kQuad * f + i % kQuad];
        }
      }
    }
    std::memcpy(sums + m * kTile, lanes, sizeof lanes);
  }
}

// The panel is a copy of the packed tiles: there is nothing to gain from wider codes here.
void unpack_panel(const uint8_t* tiles, int64_t stride, int64_t present, int64_t count,
                  uint8_t* panel) {
  for (int64_t t = 0; t < kPanelTiles; ++t) {
    uint8_t* out = panel + t * count * kTileBytes;
    if (t < present) {
      std::memcpy(out, tiles + t * stride, static_cast<std::size_t>(count * kTileBytes));
    } else {
      std::memset(out, 0, static_cast<std::size_t>(count * kTileBytes));
    }
  }
}

void panel_dot(const ActivationRows& a, const uint8_t* panel, int64_t count, int32_t* sums) {
  for (int64_t m = 0; m < a.count; ++m) {
    for (int64_t t = 0; t < kPanelTiles; ++t) {
      tile_dot({a.data + m * a.stride, a.stride, 1}, panel + t * count * kTileBytes, count,
               sums + m * kPanelRows + t * kTile);
    }
  }
}

}  // namespace

const TernaryKernels& ternary_kernels_scalar() {
  static const TernaryKernels kernels =
      with_products(CpuPath::kScalar, tile_dot, unpack_panel, panel_dot);
  return kernels;
}

}  // namespace setun::ops::cpu
