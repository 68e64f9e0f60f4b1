// The cuBLASLt calls against a recording stub that stands for the library at link time: types,
// transposition, shapes, leading dimensions, workspace, and that every description is freed. The
// stub also computes the product it is asked for, from the recorded layouts alone.
#include "lt_matmul.h"

#include <cublasLt.h>

#include <cstring>
#include <string>
#include <vector>

#include "support/catch.h"

namespace {

struct Layout {
  cudaDataType_t type;
  uint64_t rows, columns;
  int64_t leading;
};
struct Product {
  cublasComputeType_t compute;
  cudaDataType_t scale;
  cublasOperation_t transposed_a = CUBLAS_OP_N;
};
struct Record {
  int alive = 0, products = 0;
  size_t preferred_workspace = 0, workspace = 0;
  Product product{};
  Layout a{}, b{}, d{};
  bool no_algorithm = false;
  cudaStream_t stream = nullptr;
  uint32_t alpha = 0;  // its bits
};
Record record;

template <class T, class Handle>
cublasStatus_t make(Handle* out, T value) {
  ++record.alive;
  *out = reinterpret_cast<Handle>(new T(value));
  return CUBLAS_STATUS_SUCCESS;
}
template <class T, class Handle>
cublasStatus_t destroy(Handle handle) {
  --record.alive;
  delete reinterpret_cast<T*>(handle);
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace

extern "C" {

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* out, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
  return make<Product>(out, {compute, scale});
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d) { return destroy<Product>(d); }
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, size_t bytes) {
  if (attribute != CUBLASLT_MATMUL_DESC_TRANSA || bytes != sizeof(cublasOperation_t)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  std::memcpy(&reinterpret_cast<Product*>(d)->transposed_a, value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* out, cudaDataType type,
                                          uint64_t rows, uint64_t columns, int64_t leading) {
  return make<Layout>(out, {type, rows, columns, leading});
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l) { return destroy<Layout>(l); }
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* out) {
  return make<size_t>(out, 0);
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p) {
  return destroy<size_t>(p);
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* value, size_t bytes) {
  if (attribute != CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES || bytes != sizeof(size_t)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  std::memcpy(&record.preferred_workspace, value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                              cublasLtMatmulPreference_t, int wanted,
                                              cublasLtMatmulHeuristicResult_t*, int* found) {
  *found = record.no_algorithm ? 0 : wanted;
  return CUBLAS_STATUS_SUCCESS;
}
// D = op(A) B in columns: element (i, j) of a matrix is at i + j leading.
cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t product, const void* alpha,
                              const void* a_data, cublasLtMatrixLayout_t a, const void* b_data,
                              cublasLtMatrixLayout_t b, const void*, const void*,
                              cublasLtMatrixLayout_t, void* d_data, cublasLtMatrixLayout_t d,
                              const cublasLtMatmulAlgo_t*, void*, size_t workspace,
                              cudaStream_t stream) {
  ++record.products;
  record.product = *reinterpret_cast<Product*>(product);
  record.a = *reinterpret_cast<Layout*>(a);
  record.b = *reinterpret_cast<Layout*>(b);
  record.d = *reinterpret_cast<Layout*>(d);
  record.workspace = workspace;
  record.stream = stream;
  std::memcpy(&record.alpha, alpha, sizeof record.alpha);
  if (record.a.type != CUDA_R_8I) {
    return CUBLAS_STATUS_SUCCESS;
  }
  const auto* x = static_cast<const int8_t*>(a_data);
  const auto* y = static_cast<const int8_t*>(b_data);
  for (uint64_t i = 0; i < record.d.rows; ++i) {
    for (uint64_t j = 0; j < record.d.columns; ++j) {
      int32_t sum = 0;
      for (uint64_t k = 0; k < record.b.rows; ++k) {
        sum += x[k + i * static_cast<uint64_t>(record.a.leading)] *
               y[k + j * static_cast<uint64_t>(record.b.leading)];
      }
      static_cast<int32_t*>(d_data)[i + j * static_cast<uint64_t>(record.d.leading)] = sum;
    }
  }
  return CUBLAS_STATUS_SUCCESS;
}

}  // extern "C"

namespace setun::cuda {
namespace {

constexpr int kM = 19, kN = 32, kK = 48;

struct Case {
  std::vector<int8_t> a = std::vector<int8_t>(kM * kK), b = std::vector<int8_t>(kN * kK);
  std::vector<int32_t> y = std::vector<int32_t>(kM * kN);
  char workspace[64];

  Case() {
    for (size_t i = 0; i < a.size(); ++i) {
      a[i] = static_cast<int8_t>(i * 37 % 255 - 127);
    }
    for (size_t i = 0; i < b.size(); ++i) {
      b[i] = static_cast<int8_t>(i * 7 % 3) - 1;
    }
  }
  LtParams params() { return {kM, kN, kK, false, a.data(), b.data(), y.data(), workspace, 64}; }
};

}  // namespace

TEST_CASE("cuBLASLt: an int8 product is asked for as TN with 32-bit sums") {
  record = {};
  Case c;
  int handle = 0;
  auto* stream = reinterpret_cast<cudaStream_t>(&handle);
  REQUIRE(lt_matmul(&handle, c.params(), stream) == nullptr);
  CHECK(record.products == 1);
  CHECK(record.product.compute == CUBLAS_COMPUTE_32I);
  CHECK(record.product.scale == CUDA_R_32I);
  CHECK(record.product.transposed_a == CUBLAS_OP_T);
  CHECK(record.a.type == CUDA_R_8I);
  CHECK(record.b.type == CUDA_R_8I);
  CHECK(record.d.type == CUDA_R_32I);
  CHECK((record.a.rows == kK && record.a.columns == kN && record.a.leading == kK));
  CHECK((record.b.rows == kK && record.b.columns == kM && record.b.leading == kK));
  CHECK((record.d.rows == kN && record.d.columns == kM && record.d.leading == kN));
  CHECK(record.alpha == 1);
  CHECK(record.preferred_workspace == 64);
  CHECK(record.workspace == 64);
  CHECK(record.stream == stream);
  CHECK(record.alive == 0);
}

TEST_CASE("cuBLASLt: a bf16 product is the same one with fp32 sums") {
  record = {};
  Case c;
  LtParams p = c.params();
  p.bf16 = true;
  REQUIRE(lt_matmul(&c, p, nullptr) == nullptr);
  CHECK(record.product.compute == CUBLAS_COMPUTE_32F);
  CHECK(record.product.scale == CUDA_R_32F);
  CHECK(record.product.transposed_a == CUBLAS_OP_T);
  CHECK((record.a.type == CUDA_R_16BF && record.b.type == CUDA_R_16BF));
  CHECK(record.d.type == CUDA_R_16BF);
  CHECK(record.alpha == 0x3f800000u);
  CHECK(record.alive == 0);
}

TEST_CASE("cuBLASLt: the product asked for is A B^T") {
  record = {};
  Case c;
  REQUIRE(lt_matmul(&c, c.params(), nullptr) == nullptr);
  for (int m = 0; m < kM; ++m) {
    for (int n = 0; n < kN; ++n) {
      int32_t sum = 0;
      for (int k = 0; k < kK; ++k) {
        sum += c.a[static_cast<size_t>(m * kK + k)] * c.b[static_cast<size_t>(n * kK + k)];
      }
      REQUIRE(c.y[static_cast<size_t>(m * kN + n)] == sum);
    }
  }
}

TEST_CASE("cuBLASLt: what it refuses is said, and nothing leaks") {
  record = {};
  Case c;
  record.no_algorithm = true;
  CHECK(std::string(lt_matmul(&c, c.params(), nullptr)).find("no algorithm") != std::string::npos);
  CHECK(record.alive == 0);
  LtParams odd = c.params();
  odd.k = 40;
  CHECK(std::string(lt_matmul(&c, odd, nullptr)).find("multiples of 16") != std::string::npos);
}

TEST_CASE("routes of a product: few rows, the tensor kernel, the library") {
  CHECK(choose_route(1, 2560, 2560, false) == Route::kVector);
  CHECK(choose_route(16, 2560, 2560, true) == Route::kVector);
  CHECK(choose_route(17, 2560, 2560, false) == Route::kMatrix);
  CHECK(choose_route(8192, 2560, 2560, false) == Route::kLibrary);
  CHECK(choose_route(8192, 2560, 2560, true) == Route::kMatrix);
  CHECK(choose_route(8192, 2561, 2560, false) == Route::kMatrix);
}

}  // namespace setun::cuda
