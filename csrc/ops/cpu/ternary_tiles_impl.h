// Packing, unpacking and transposing of tiles, on vectors of the width this file is compiled for
// (one 128-bit lane holds 16 codes of a row, or the words of 4 rows of a tile), with plain words at
// the edges. Included by the ternary_kernels_*.cpp only.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

#include "ops/cpu/ternary_kernels.h"

namespace setun::ops::cpu {
namespace {

#if defined(__AVX512F__)
constexpr int kWords = 16;
#elif defined(__AVX2__)
constexpr int kWords = 8;
#else
constexpr int kWords = 4;
#endif
constexpr int kLaneWords = 4;
constexpr int kVectorLanes = kWords / kLaneWords;

typedef uint32_t Words __attribute__((vector_size(kWords * 4)));
typedef uint8_t Bytes __attribute__((vector_size(kWords * 4)));
using WordIndex = std::make_index_sequence<kWords>;

// Words 2 high and 2 high + 1 of every lane of a and b, alternating.
template <int high, std::size_t... i>
inline Words interleave_words(Words a, Words b, std::index_sequence<i...>) {
  return __builtin_shufflevector(a, b,
                                 (i / 4 * 4 + 2 * high + i % 4 / 2 + (i % 2 == 0 ? 0 : kWords))...);
}

// The lower or upper half of every lane of a, then of b.
template <int high, std::size_t... i>
inline Words interleave_pairs(Words a, Words b, std::index_sequence<i...>) {
  return __builtin_shufflevector(a, b,
                                 (i / 4 * 4 + 2 * high + i % 2 + (i % 4 < 2 ? 0 : kWords))...);
}

// a or-ed with itself `distance` words away, within lanes.
template <int distance, std::size_t... i>
inline Words or_across(Words a, std::index_sequence<i...>) {
  return a | __builtin_shufflevector(a, a, (i ^ distance)...);
}

// Words whose number in their lane has the bit `which` come from b, the others from a.
template <int which, std::size_t... i>
inline Words choose(Words a, Words b, std::index_sequence<i...>) {
  return __builtin_shufflevector(a, b, (i + ((i & which) == 0 ? 0 : kWords))...);
}

template <std::size_t... i>
inline Words field_shifts(std::index_sequence<i...>) {
  return Words{static_cast<uint32_t>(2 * (i % kLaneWords))...};
}

inline uint32_t load_word(const void* from) {
  uint32_t word = 0;
  std::memcpy(&word, from, sizeof word);
  return word;
}

inline void store_word(void* to, uint32_t word) { std::memcpy(to, &word, sizeof word); }

// Field f of a word: the code + 1 bytes of one row's columns 4 f .. 4 f + 3.
template <class Word>
inline Word field_of(Word word, int f) {
  return (word >> (2 * f)) & 0x03030303U;
}

// 16 codes + 1 as bytes -> the word of one row of a tile.
inline uint32_t pack_word(const uint8_t* plus_one) {
  uint32_t word = 0;
  for (int f = 0; f < kTileQuads; ++f) {
    word |= load_word(plus_one + kQuad * f) << (2 * f);
  }
  return word;
}

// The words of one row in kVectorLanes tiles: each in all places of its lane.
inline Words pack_lanes(const int8_t* codes) {
  Bytes plus_one;
  std::memcpy(&plus_one, codes, sizeof plus_one);
  plus_one += 1;
  Words fields;
  std::memcpy(&fields, &plus_one, sizeof fields);
  fields <<= field_shifts(WordIndex());
  return or_across<1>(or_across<2>(fields, WordIndex()), WordIndex());
}

// Rows 4 i .. 4 i + 3 of kVectorLanes tiles; rows that are not there are zero bits.
inline void pack_four_rows(const int8_t* codes, int64_t stride, int64_t rows, uint8_t* tiles) {
  Words row[kLaneWords];
  for (int r = 0; r < kLaneWords; ++r) {
    row[r] = r < rows ? pack_lanes(codes + r * stride) : Words{};
  }
  const Words low = choose<1>(row[0], row[1], WordIndex());
  const Words high = choose<1>(row[2], row[3], WordIndex());
  const Words all = choose<2>(low, high, WordIndex());
  uint8_t bytes[sizeof all];
  std::memcpy(bytes, &all, sizeof all);
  for (int lane = 0; lane < kVectorLanes; ++lane) {
    std::memcpy(tiles + lane * kTileBytes, bytes + lane * kTile, kTile);
  }
}

void pack_tiles(const int8_t* codes, int64_t stride, int64_t rows, int64_t columns,
                uint8_t* tiles) {
  constexpr int64_t kStep = kVectorLanes * kTile;
  int64_t start = 0;
  for (; start + kStep <= columns; start += kStep) {
    for (int64_t r = 0; r < kTile; r += kLaneWords) {
      pack_four_rows(codes + r * stride + start, stride, rows - r,
                     tiles + start / kTile * kTileBytes + kQuad * r);
    }
  }
  const int64_t done = start / kTile * kTileBytes;
  std::memset(tiles + done, 0, static_cast<std::size_t>(tile_row_bytes(columns) - done));
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t column = start; column < columns; column += kTile) {
      uint8_t plus_one[kTile] = {};
      const int64_t n = columns - column < kTile ? columns - column : kTile;
      for (int64_t i = 0; i < n; ++i) {
        plus_one[i] = static_cast<uint8_t>(codes[r * stride + column + i] + 1);
      }
      store_word(tiles + column / kTile * kTileBytes + kQuad * r, pack_word(plus_one));
    }
  }
}

// kWords rows of a tile, 16 code + `offset` bytes each, to rows `stride` bytes apart.
inline void unpack_words(const uint8_t* tile, int8_t offset, uint8_t* out, int64_t stride) {
  Words packed, field[kTileQuads];
  std::memcpy(&packed, tile, sizeof packed);
  for (int f = 0; f < kTileQuads; ++f) {
    field[f] = field_of(packed, f);
  }
  const Words low01 = interleave_words<0>(field[0], field[1], WordIndex());
  const Words high01 = interleave_words<1>(field[0], field[1], WordIndex());
  const Words low23 = interleave_words<0>(field[2], field[3], WordIndex());
  const Words high23 = interleave_words<1>(field[2], field[3], WordIndex());
  const Words rows[kLaneWords] = {interleave_pairs<0>(low01, low23, WordIndex()),
                                  interleave_pairs<1>(low01, low23, WordIndex()),
                                  interleave_pairs<0>(high01, high23, WordIndex()),
                                  interleave_pairs<1>(high01, high23, WordIndex())};
  for (int r = 0; r < kLaneWords; ++r) {
    Bytes codes;
    std::memcpy(&codes, &rows[r], sizeof codes);
    codes += static_cast<uint8_t>(offset);
    uint8_t bytes[sizeof codes];
    std::memcpy(bytes, &codes, sizeof codes);
    for (int lane = 0; lane < kVectorLanes; ++lane) {
      std::memcpy(out + (kLaneWords * lane + r) * stride, bytes + lane * kTile, kTile);
    }
  }
}

void unpack_tiles(const uint8_t* tiles, int64_t rows, int64_t columns, int8_t* codes,
                  int64_t stride) {
  for (int64_t start = 0; start < columns; start += kTile) {
    const uint8_t* tile = tiles + start / kTile * kTileBytes;
    const int64_t n = columns - start < kTile ? columns - start : kTile;
    if (n == kTile && rows == kTile) {
      for (int64_t r = 0; r < kTile; r += kWords) {
        unpack_words(tile + kQuad * r, -1, reinterpret_cast<uint8_t*>(codes + r * stride + start),
                     stride);
      }
      continue;
    }
    uint8_t block[kTile][kTile];
    for (int64_t r = 0; r < kTile; r += kWords) {
      unpack_words(tile + kQuad * r, -1, block[r], kTile);
    }
    for (int64_t r = 0; r < rows; ++r) {
      std::memcpy(codes + r * stride + start, block[r], static_cast<std::size_t>(n));
    }
  }
}

// Elements of `size` bytes of the lower or upper half of a and b, alternating.
typedef uint8_t Lane __attribute__((vector_size(16)));
template <int size, int high, std::size_t... i>
inline Lane interleave(Lane a, Lane b, std::index_sequence<i...>) {
  return __builtin_shufflevector(
      a, b, (8 * high + i / (2 * size) * size + i % size + (i / size % 2 == 0 ? 0 : 16))...);
}
template <int size, int high>
inline Lane interleave(Lane a, Lane b) {
  return interleave<size, high>(a, b, std::make_index_sequence<16>());
}

// Rows 4 f .. 4 f + 3 of the tile are field f of its transpose: word c is column c of the four.
void transpose_tile(const uint8_t* tile, uint8_t* out) {
  Lane rows[kTile];
  for (int64_t r = 0; r < kTile; r += kWords) {
    unpack_words(tile + kQuad * r, 0, reinterpret_cast<uint8_t*>(rows + r), kTile);
  }
  uint8_t words[kTileBytes] = {};
  for (int f = 0; f < kTileQuads; ++f) {
    const Lane* row = rows + kQuad * f;
    const Lane low01 = interleave<1, 0>(row[0], row[1]), high01 = interleave<1, 1>(row[0], row[1]);
    const Lane low23 = interleave<1, 0>(row[2], row[3]), high23 = interleave<1, 1>(row[2], row[3]);
    const Lane field[] = {interleave<2, 0>(low01, low23), interleave<2, 1>(low01, low23),
                          interleave<2, 0>(high01, high23), interleave<2, 1>(high01, high23)};
    for (int part = 0; part < 4; ++part) {
      Lane sum;
      std::memcpy(&sum, words + 16 * part, sizeof sum);
      sum |= field[part] << static_cast<uint8_t>(2 * f);
      std::memcpy(words + 16 * part, &sum, sizeof sum);
    }
  }
  std::memcpy(out, words, sizeof words);
}

}  // namespace
}  // namespace setun::ops::cpu
