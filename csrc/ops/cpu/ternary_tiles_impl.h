// Packing, unpacking and transposing of tiles in portable C++, eight bytes of codes at a time where
// that helps. Included by the ternary_kernels_*.cpp only.
#pragma once

#include <cstdint>
#include <cstring>

#include "ops/cpu/ternary_kernels.h"

namespace setun::ops::cpu {
namespace {

// Field f of every byte of four: the code + 1 bytes of one row's columns 4 f .. 4 f + 3.
inline uint32_t field_of(uint32_t word, int f) { return (word >> (2 * f)) & 0x03030303U; }

inline uint32_t load_word(const void* from) {
  uint32_t word = 0;
  std::memcpy(&word, from, sizeof word);
  return word;
}

inline void store_word(void* to, uint32_t word) { std::memcpy(to, &word, sizeof word); }

// 16 codes + 1 as bytes -> the word of one row of a tile.
inline uint32_t pack_word(const uint8_t* plus_one) {
  uint32_t word = 0;
  for (int f = 0; f < kTileQuads; ++f) {
    word |= load_word(plus_one + kQuad * f) << (2 * f);
  }
  return word;
}

void pack_tiles(const int8_t* codes, int64_t stride, int64_t rows, int64_t columns,
                uint8_t* tiles) {
  std::memset(tiles, 0, static_cast<std::size_t>(tile_row_bytes(columns)));
  for (int64_t r = 0; r < rows; ++r) {
    const int8_t* row = codes + r * stride;
    for (int64_t start = 0; start < columns; start += kTile) {
      uint8_t plus_one[kTile] = {};
      const int64_t n = columns - start < kTile ? columns - start : kTile;
      for (int64_t i = 0; i < n; ++i) {
        plus_one[i] = static_cast<uint8_t>(row[start + i] + 1);
      }
      store_word(tiles + start / kTile * kTileBytes + kQuad * r, pack_word(plus_one));
    }
  }
}

void unpack_tiles(const uint8_t* tiles, int64_t rows, int64_t columns, int8_t* codes,
                  int64_t stride) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t start = 0; start < columns; start += kTile) {
      const uint32_t word = load_word(tiles + start / kTile * kTileBytes + kQuad * r);
      uint8_t plus_one[kTile];
      for (int f = 0; f < kTileQuads; ++f) {
        store_word(plus_one + kQuad * f, field_of(word, f));
      }
      const int64_t n = columns - start < kTile ? columns - start : kTile;
      for (int64_t i = 0; i < n; ++i) {
        codes[r * stride + start + i] = static_cast<int8_t>(plus_one[i] - 1);
      }
    }
  }
}

void transpose_tile(const uint8_t* tile, uint8_t* out) {
  uint8_t plus_one[kTile][kTile];
  for (int r = 0; r < kTile; ++r) {
    const uint32_t word = load_word(tile + kQuad * r);
    for (int f = 0; f < kTileQuads; ++f) {
      const uint32_t field = field_of(word, f);
      for (int j = 0; j < kQuad; ++j) {
        plus_one[kQuad * f + j][r] = static_cast<uint8_t>(field >> (8 * j));
      }
    }
  }
  for (int c = 0; c < kTile; ++c) {
    store_word(out + kQuad * c, pack_word(plus_one[c]));
  }
}

}  // namespace
}  // namespace setun::ops::cpu
