// cuBLASLt's place on the emulator: the product of lt_matmul.h by plain loops, queued where a
// kernel would be. What the library itself is told is lt_matmul_test.cpp's.
#include "emulated_lt_matmul.h"

#include "cuemu/cuemu.h"
#include "lt_matmul.h"

namespace setun::cuda {

const char* lt_matmul(void*, const LtParams& p, cudaStream_t stream) {
  if (testing::EmulatedLibrary::refuses || p.bf16 || p.n % 16 != 0 || p.k % 16 != 0) {
    return "the emulated library has no algorithm for this shape";
  }
  ++testing::EmulatedLibrary::calls;
  cuemu::submit(stream, [p] {
    const auto *a = static_cast<const int8_t*>(p.a), *b = static_cast<const int8_t*>(p.b);
    for (int64_t m = 0; m < p.m; ++m) {
      for (int64_t n = 0; n < p.n; ++n) {
        int32_t sum = 0;
        for (int64_t k = 0; k < p.k; ++k) {
          sum += a[m * p.k + k] * b[n * p.k + k];
        }
        static_cast<int32_t*>(p.y)[m * p.n + n] = sum;
      }
    }
    return 0;
  });
  return nullptr;
}

}  // namespace setun::cuda
