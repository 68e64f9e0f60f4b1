// Integer products of many rows through cuBLASLt: y [m, n] int32 = A [m, k] int8 times B [n, k]
// int8 transposed, both row major. To the library, which thinks in columns, this is the "TN"
// product D [n, m] = B^T A, the one layout for which it has int8 tensor kernels. Source: cuBLAS
// documentation, cublasLtMatmul (CUBLAS_COMPUTE_32I with CUDA_R_8I operands).
#pragma once

#include <cstddef>

#include "runtime.h"

namespace setun::cuda {

// Which kernel a product of int8 activations and packed ternary weights goes to.
enum class Route { kVector, kMatrix, kLibrary };

// The library pays once the weight's unpacking (n k bytes written and read) is small beside the
// product, and only for shapes it takes: m > 16, n and k multiples of 16. The bounds are a table to
// be set from measurements on a GPU; until then the library starts at 1024 rows.
inline Route choose_route(int m, int n, int k, bool grouped) {
  constexpr int kVectorRows = 16, kLibraryRows = 1024;
  if (m <= kVectorRows) {
    return Route::kVector;
  }
  const bool library = !grouped && m >= kLibraryRows && n % 16 == 0 && k % 16 == 0;
  return library ? Route::kLibrary : Route::kMatrix;
}

struct LtParams {
  int m, n, k;
  bool bf16;      // else int8 operands and int32 results
  const void* a;  // [m, k]
  const void* b;  // [n, k]
  void* y;        // [m, n]
  void* workspace;
  size_t workspace_bytes;
};

// Why the library refused, or null. `handle` is a cublasLtHandle_t.
const char* lt_matmul(void* handle, const LtParams& p, cudaStream_t stream);

}  // namespace setun::cuda
