// Packed formats as index functions, for kernels, hosts and tests.
// Ternary weights [N, K], 2 bits a code, code = ternary + 1 in {0, 1, 2}: one 32-bit word holds 16
// codes of a row, laid out so that (word >> 2 j) & 0x03030303 is a B register of mma.m16n8k32 (and
// (word >> 2 j) & 0x33333333 one of m16n8k64): neither a shuffle nor shared memory is needed, and a
// warp reads 128 bytes in a row. The + 1 is taken off again by the row sum of the activations.
// 4-bit activations [M, K], two's complement nibbles in the order that meets those registers.
// Both are padded to whole tiles: ternary code 0 (stored as 1), activation 0.
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#define SETUN_HOST_DEVICE __host__ __device__
#else
#define SETUN_HOST_DEVICE
#endif

namespace setun::cuda {

inline constexpr int kTileK = 64, kTileN = 8;
inline constexpr int kTileWords = 32;     // of a tile of ternary codes
inline constexpr int kInt4TileWords = 8;  // of 64 activations of a row

SETUN_HOST_DEVICE constexpr int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
SETUN_HOST_DEVICE constexpr int64_t tiles_k(int64_t k) { return divide_up(k, kTileK); }

// Word and bit of code (n, k) of a weight with `tiles` tiles along K.
SETUN_HOST_DEVICE constexpr int64_t ternary_words(int64_t rows, int64_t tiles) {
  return divide_up(rows, kTileN) * tiles * kTileWords;
}
SETUN_HOST_DEVICE constexpr int64_t ternary_word(int64_t n, int64_t k, int64_t tiles) {
  return (n / kTileN * tiles + k / kTileK) * kTileWords + n % kTileN * 4 + k % 16 / 4;
}
SETUN_HOST_DEVICE constexpr int ternary_shift(int64_t k) {
  return static_cast<int>(8 * (k % 4) + 2 * (k % kTileK / 16));
}

// Word and bit of activation (m, k).
SETUN_HOST_DEVICE constexpr int64_t int4_words(int64_t rows, int64_t tiles) {
  return rows * tiles * kInt4TileWords;
}
SETUN_HOST_DEVICE constexpr int64_t int4_word(int64_t m, int64_t k, int64_t tiles) {
  return (m * tiles + k / kTileK) * kInt4TileWords + k % 16 / 4 * 2 + k % 32 / 16;
}
SETUN_HOST_DEVICE constexpr int int4_shift(int64_t k) {
  return static_cast<int>(8 * (k % 4) + 4 * (k % kTileK / 32));
}

}  // namespace setun::cuda
