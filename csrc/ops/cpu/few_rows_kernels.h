// Torch-free kernels of generation, where a matrix meets few rows and reading it is the work: rows
// times an fp32, bf16 or int8 matrix as it lies in memory, and one query's attention over a cache.
// One source (few_rows_kernels_impl.h) compiled for each instruction set; sums are fp32 in one
// fixed order, without fused multiply-adds (vdpbf16ps would round differently), so every path gives
// the same bits; sums of integer codes are exact.
#pragma once

#include <cstdint>

#include "base/cpu_features.h"
#include "ops/cpu/elements.h"

namespace setun::ops::cpu {

inline constexpr int64_t kDotBlock = 32;   // columns of a block of lanes
inline constexpr int64_t kCodeBlock = 64;  // int8 columns that a staged row is padded to

inline int64_t padded(int64_t columns, int64_t block) {
  return (columns + block - 1) / block * block;
}

// Rows in memory: `count` of them, `stride` elements apart.
struct MatrixRows {
  InRow first;
  int64_t count, stride;
};

struct FewRowsKernels {
  CpuPath path;
  // x as `dot` wants it for a matrix of type `matrix`: padded(columns, kDotBlock) fp32 values.
  void (*stage)(InRow x, int64_t columns, Element matrix, float* staged);
  // y[r][o] = sum over columns of x[r] w[o]; staged rows lie padded(columns, kDotBlock) apart, rows
  // of y y_stride.
  void (*dot)(const float* staged, int64_t rows, const MatrixRows& w, int64_t columns, float* y,
              int64_t y_stride);
  // out = x + y, n values.
  void (*add)(const float* x, InRow y, int64_t n, float* out);
  // n values, rounded once.
  void (*write)(const float* y, int64_t n, OutRow out);
  // x -> exp(scale x - max(scale x)); returns their sum.
  float (*softmax)(float* x, int64_t n, float scale);
  // out[c] = (sum over rows of p[row] v[row][c]) / total, rows in order.
  void (*mix)(const float* p, const MatrixRows& v, int64_t columns, float total, OutRow out);
  // Codes as dot_codes wants them: padded(columns, kCodeBlock) bytes.
  void (*stage_codes)(const int8_t* codes, int64_t columns, int8_t* staged);
  // sums[o] = sum over columns of a w[o], exact: w [outputs, columns] dense, w_sums the sums of its
  // rows.
  void (*dot_codes)(const int8_t* staged, const int8_t* w, int64_t outputs, int64_t columns,
                    const int32_t* w_sums, int32_t* sums);
  // out[o] = float(sums[o]) / (s * w_scale[o]).
  void (*finish_codes)(const int32_t* sums, int64_t n, float s, const float* w_scale, OutRow out);
};

const FewRowsKernels& few_rows_kernels();  // of base/cpu_features' cpu_path()
const FewRowsKernels& few_rows_kernels_scalar();
const FewRowsKernels& few_rows_kernels_avx2();
const FewRowsKernels& few_rows_kernels_avx512();
const FewRowsKernels& few_rows_kernels_avx512_vnni();
const FewRowsKernels& few_rows_kernels_neon();

}  // namespace setun::ops::cpu
