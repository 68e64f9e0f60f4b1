#include "lt_matmul.h"

#include <cublasLt.h>

namespace setun::cuda {
namespace {

// The library's objects of one product, freed in reverse.
struct Descriptions {
  cublasLtMatmulDesc_t product = nullptr;
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, y = nullptr;
  cublasLtMatmulPreference_t preference = nullptr;

  Descriptions() = default;
  Descriptions(const Descriptions&) = delete;
  Descriptions& operator=(const Descriptions&) = delete;
  ~Descriptions() {
    if (preference != nullptr) {
      cublasLtMatmulPreferenceDestroy(preference);
    }
    for (cublasLtMatrixLayout_t layout : {y, b, a}) {
      if (layout != nullptr) {
        cublasLtMatrixLayoutDestroy(layout);
      }
    }
    if (product != nullptr) {
      cublasLtMatmulDescDestroy(product);
    }
  }
};

bool ok(cublasStatus_t status) { return status == CUBLAS_STATUS_SUCCESS; }

// A row-major [rows, columns] matrix is a column-major one of `columns` rows.
bool layout(cublasLtMatrixLayout_t* out, cudaDataType_t type, int rows, int columns) {
  return ok(cublasLtMatrixLayoutCreate(out, type, static_cast<uint64_t>(columns),
                                       static_cast<uint64_t>(rows), columns));
}

const char* describe(const LtParams& p, Descriptions& d) {
  const cublasOperation_t transposed = CUBLAS_OP_T;
  const cudaDataType operand = p.bf16 ? CUDA_R_16BF : CUDA_R_8I;
  const cudaDataType result = p.bf16 ? CUDA_R_16BF : CUDA_R_32I;
  if (!ok(cublasLtMatmulDescCreate(&d.product, p.bf16 ? CUBLAS_COMPUTE_32F : CUBLAS_COMPUTE_32I,
                                   p.bf16 ? CUDA_R_32F : CUDA_R_32I)) ||
      !ok(cublasLtMatmulDescSetAttribute(d.product, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                                         sizeof transposed))) {
    return "cublasLt refused the product's description";
  }
  if (!layout(&d.b, operand, p.n, p.k) || !layout(&d.a, operand, p.m, p.k) ||
      !layout(&d.y, result, p.m, p.n)) {
    return "cublasLt refused a matrix layout";
  }
  if (!ok(cublasLtMatmulPreferenceCreate(&d.preference)) ||
      !ok(cublasLtMatmulPreferenceSetAttribute(d.preference,
                                               CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                               &p.workspace_bytes, sizeof p.workspace_bytes))) {
    return "cublasLt refused the workspace size";
  }
  return nullptr;
}

}  // namespace

const char* lt_matmul(void* handle, const LtParams& p, cudaStream_t stream) {
  if (p.m < 1 || p.n % 16 != 0 || p.k % 16 != 0) {
    return "lt_matmul: n and k must be multiples of 16";
  }
  auto* lt = static_cast<cublasLtHandle_t>(handle);
  Descriptions d;
  if (const char* error = describe(p, d); error != nullptr) {
    return error;
  }
  cublasLtMatmulHeuristicResult_t best{};
  int found = 0;
  if (!ok(cublasLtMatmulAlgoGetHeuristic(lt, d.product, d.b, d.a, d.y, d.y, d.preference, 1, &best,
                                         &found)) ||
      found == 0) {
    return "cublasLt has no algorithm for this shape";
  }
  // The factors have the type of the sums.
  const int32_t one = 1, zero = 0;
  const float one_f = 1, zero_f = 0;
  const void* alpha = p.bf16 ? static_cast<const void*>(&one_f) : &one;
  const void* beta = p.bf16 ? static_cast<const void*>(&zero_f) : &zero;
  return ok(cublasLtMatmul(lt, d.product, alpha, p.b, d.b, p.a, d.a, beta, p.y, d.y, p.y, d.y,
                           &best.algo, p.workspace, p.workspace_bytes, stream))
             ? nullptr
             : "cublasLtMatmul failed";
}

}  // namespace setun::cuda
