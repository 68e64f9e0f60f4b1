// The private CPU layout of packed ternary weights W [O, I], torch-free. W is cut into tiles of 16
// rows x 16 columns, zero-padded at the edges; a tile is 64 bytes, and the tiles of 16 rows lie one
// after the other. Byte 4 r + j of a tile holds four codes + 1 of row r, two bits each: field f
// (bits 2f and 2f + 1) is column 4 f + j. So one field of a tile is 16 rows x 4 columns, which is
// what instructions that add four byte products into each 32-bit lane want, and masking the tile
// gives it without a shuffle. The transpose of W keeps its tiles and only transposes inside each.
// This is no file format: exporters write theirs.
#pragma once

#include <cstdint>

namespace setun::ops::cpu {

inline constexpr int64_t kTile = 16;       // rows and columns of a tile
inline constexpr int64_t kTileBytes = 64;  // its 256 codes
inline constexpr int64_t kQuad = 4;        // columns of a field: products added into one lane
inline constexpr int64_t kTileQuads = 4;   // fields of a tile
// A quarter of the columns lies in the last field, which vpdpbusd adds 64 times too large: 2 * 64 *
// 128 * columns / 4 stays within 2^31.
inline constexpr int64_t kMaxColumns = int64_t{1} << 19;

constexpr int64_t tiles_of(int64_t n) { return (n + kTile - 1) / kTile; }
constexpr int64_t padded(int64_t n) { return tiles_of(n) * kTile; }
// Bytes of a row of tiles, and of the whole matrix.
constexpr int64_t tile_row_bytes(int64_t columns) { return tiles_of(columns) * kTileBytes; }
constexpr int64_t packed_bytes(int64_t rows, int64_t columns) {
  return tiles_of(rows) * tile_row_bytes(columns);
}

// Where the code of (row, column) is: byte and shift.
struct PackedPlace {
  int64_t byte;
  int shift;
};
constexpr PackedPlace packed_place(int64_t row, int64_t column, int64_t columns) {
  const int64_t r = row % kTile, c = column % kTile;
  return {(row / kTile) * tile_row_bytes(columns) + (column / kTile) * kTileBytes + kQuad * r +
              c % kQuad,
          static_cast<int>(2 * (c / kQuad))};
}

}  // namespace setun::ops::cpu
