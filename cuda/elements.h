// Streams over elements with the CPU operators' bits: values of row codes, pairs of 4-bit codes,
// masks of bits, draws of the counter-based generator (csrc/base/counter_rng.h), sums of squares in
// double.
#pragma once

#include "runtime.h"

namespace setun::cuda {

// y = codes / scale[row], rounded once.
struct DequantizeParams {
  const int8_t* codes;  // [rows, columns]
  const float* scale;   // [rows]
  int64_t rows, columns;
  void* y;  // fp32 or bf16
  bool is_bf16;
};
cudaError_t dequantize_rows(const DequantizeParams& p, cudaStream_t stream);

// Codes -8..7, two a byte, the even column in the low nibble: a row has (columns + 1) / 2 bytes.
struct Int4Params {
  int8_t* codes;    // [rows, columns]: read by pack, written by unpack
  uint8_t* packed;  // [rows, (columns + 1) / 2]
  int64_t rows, columns;
};
cudaError_t pack_int4(const Int4Params& p, cudaStream_t stream);
cudaError_t unpack_int4(const Int4Params& p, cudaStream_t stream);

// The same pairs in the order of layouts.h, padded to whole tiles with zeros: what a product reads.
struct Int4WordsParams {
  const uint8_t* packed;  // [rows, (columns + 1) / 2]
  int64_t rows, columns;
  uint32_t* words;  // [int4_words(rows, tiles_k(columns))]
};
cudaError_t int4_words(const Int4WordsParams& p, cudaStream_t stream);

// Masks of bits, one word for 32 columns, and the gradient behind one (the straight-through
// estimator of sparsity, Q-Sparse 2407.10969 eq. 4).
struct PackMaskParams {
  const uint8_t* keep;  // [rows, columns], 0 or 1
  int64_t rows, columns;
  uint32_t* bits;  // [rows, ceil(columns / 32)], bit i of a word is column i; 0 behind the last
};
cudaError_t pack_mask(const PackMaskParams& p, cudaStream_t stream);

// dx = dy where a mask bit is set, else 0.
struct MaskedParams {
  const void* dy;  // [rows, columns] fp32 or bf16
  bool is_bf16;
  const uint32_t* bits;  // as pack_mask writes them
  int64_t rows, columns;
  void* dx;  // of dy's type
};
cudaError_t apply_mask(const MaskedParams& p, cudaStream_t stream);

// Draw i of the key: uniform in [0, 1); or, with kept > 0, 0 where the draw's upper 53 bits are
// below `dropped`, else `kept`: a dropout mask, dropped = ceil(probability 2^53).
struct DrawParams {
  uint64_t key;
  int64_t count;
  float kept;
  uint64_t dropped;
  float* out;
};
cudaError_t draws(const DrawParams& p, cudaStream_t stream);

// total = sum x^2 in double: chunks of 16384 over 32 lanes, the chunks in order. Not finite exactly
// when an x is not.
struct SquaresParams {
  const float* x;
  int64_t count;
  double* partial;  // [squares_workspace()]
  double* total;    // [1]
};
int64_t squares_workspace(int64_t count);
cudaError_t sum_of_squares(const SquaresParams& p, cudaStream_t stream);

}  // namespace setun::cuda
