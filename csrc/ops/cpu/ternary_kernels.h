// Torch-free kernels of ternary products, one table an instruction set, chosen at run time by
// base/cpu_features. Codes are stored as code + 1 (ternary_layout.h), so the kernels add
// (code + 1) * a in 32-bit integers, exactly, and the caller subtracts the sum of a: every path
// gives the same integers. Epilogues are fp32 in the order of docs/numerics.md.
#pragma once

#include <cstdint>

#include "base/cpu_features.h"
#include "ops/cpu/ternary_layout.h"

namespace setun::ops::cpu {

inline constexpr int64_t kPanelTiles = 4;                   // row tiles of a panel
inline constexpr int64_t kPanelRows = kPanelTiles * kTile;  // 64 outputs

// Row-major s8 activations, zero-padded to whole tiles of columns.
struct ActivationRows {
  const int8_t* data;
  int64_t stride;  // bytes between rows
  int64_t count;
};

// Where a row of values begins: at most one pointer is set.
struct RowPlace {
  float* fp32 = nullptr;
  uint16_t* bf16 = nullptr;
};
struct RowView {
  const float* fp32 = nullptr;
  const uint16_t* bf16 = nullptr;
};

// A block of the result: `rows` rows of `outputs` values, whose sums lie `width` apart.
struct OutputBlock {
  int64_t rows, outputs, width;
  const float* s;    // [rows]: the activations' multipliers
  RowView residual;  // of the first row; rows are `stride` apart
  RowPlace out;
  int64_t stride;

  RowView residual_row(int64_t m) const {
    return {residual.fp32 == nullptr ? nullptr : residual.fp32 + m * stride,
            residual.bf16 == nullptr ? nullptr : residual.bf16 + m * stride};
  }
  RowPlace out_row(int64_t m) const {
    return {out.fp32 == nullptr ? nullptr : out.fp32 + m * stride,
            out.bf16 == nullptr ? nullptr : out.bf16 + m * stride};
  }
};

struct TernaryKernels {
  CpuPath path;
  // Codes [rows <= 16, columns] with `stride` between rows -> one row of tiles.
  void (*pack_tiles)(const int8_t* codes, int64_t stride, int64_t rows, int64_t columns,
                     uint8_t* tiles);
  // The reverse.
  void (*unpack_tiles)(const uint8_t* tiles, int64_t rows, int64_t columns, int8_t* codes,
                       int64_t stride);
  // One tile -> the tile of the transposed matrix.
  void (*transpose_tile)(const uint8_t* tile, uint8_t* out);
  // sums[m][16] = sum over `tiles` tiles of (code + 1) a, from packed weights; for few rows a.
  void (*tile_dot)(const ActivationRows& a, const uint8_t* tiles, int64_t count, int32_t* sums);
  // kPanelTiles rows of `count` tiles, `stride` bytes apart, `present` of them real -> a panel of
  // code + 1 bytes in the order panel_dot wants, count * kPanelTiles * 256 bytes.
  void (*unpack_panel)(const uint8_t* tiles, int64_t stride, int64_t present, int64_t count,
                       uint8_t* panel);
  // sums[m][64] = sum over the panel's columns of (code + 1) a.
  void (*panel_dot)(const ActivationRows& a, const uint8_t* panel, int64_t count, int32_t* sums);
  // out = float(sum - row_sum) * (scale / s) + residual; step 0: one scale, 1: one an output.
  void (*finish_rows)(const OutputBlock& block, const int32_t* sums, const int32_t* row_sums,
                      const float* scale, int64_t step);
  // totals += float(sum - group_sum) * scale[i * step]; group_sums are sum_step apart.
  void (*add_group)(const OutputBlock& block, const int32_t* sums, const int32_t* group_sums,
                    int64_t sum_step, const float* scale, int64_t step, float* totals);
  // out = totals * (1 / s) + residual.
  void (*finish_groups)(const OutputBlock& block, const float* totals);
};

const TernaryKernels& ternary_kernels();  // of base/cpu_features' cpu_path()
const TernaryKernels& ternary_kernels_scalar();
const TernaryKernels& ternary_kernels_avx2();
const TernaryKernels& ternary_kernels_avx512_vnni();
const TernaryKernels& ternary_kernels_neon();

}  // namespace setun::ops::cpu
