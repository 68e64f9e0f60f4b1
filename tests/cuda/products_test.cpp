// Products against plain loops: integers bit for bit, and the epilogue too, whose order of
// operations is fixed.
#include "products.h"

#include <algorithm>

#include "harness.h"
#include "layouts.h"

namespace setun::cuda::testing {
namespace {

enum class Kernel { kVector, kMatrix, kMatrixInt4, kMatrixInt4Native, kLibrary };
enum class Scale { kTensor, kRow, kGroup };

struct Setup {
  Kernel kernel;
  int m, n, k;
  Scale scale = Scale::kTensor;
  int group = 0;
  bool residual = false, out_bf16 = false, divides = true;
  int out_stride = 0;  // 0: n
};

struct Problem {
  int groups;
  std::vector<int> a, w;  // [m, k], [n, k]
  std::vector<float> weight_scale, token_scale, residual;
};

int stride_of(const Setup& s) { return s.out_stride == 0 ? s.n : s.out_stride; }
bool is_int4(const Setup& s) {
  return s.kernel == Kernel::kMatrixInt4 || s.kernel == Kernel::kMatrixInt4Native;
}

Problem make(const Setup& s) {
  Random random(static_cast<uint64_t>(s.m * 1000003 + s.n * 1009 + s.k));
  Problem p;
  p.groups = s.group == 0 ? 1 : (s.k + s.group - 1) / s.group;
  const int low = is_int4(s) ? -8 : -128, high = is_int4(s) ? 7 : 127;
  for (int i = 0; i < s.m * s.k; ++i) {
    p.a.push_back(random.integer(low, high));
  }
  for (int i = 0; i < s.n * s.k; ++i) {
    p.w.push_back(random.integer(-1, 1));
  }
  const int scales = s.scale == Scale::kTensor ? 1 : s.n * p.groups;
  for (int i = 0; i < scales; ++i) {
    p.weight_scale.push_back(random.uniform(0.1f, 2));
  }
  for (int i = 0; i < s.m; ++i) {
    p.token_scale.push_back(random.uniform(0.1f, 50));
  }
  for (int i = 0; i < s.m * stride_of(s); ++i) {
    p.residual.push_back(random.uniform(-4, 4));
  }
  return p;
}

// Operands in device memory.
struct Operands {
  Device<int8_t> a8;
  Device<uint32_t> a4, w;
  Device<int32_t> sums;
  Device<float> weight_scale, token_scale, residual;
};

int64_t a8_stride(const Setup& s) { return divide_up(s.k, kTileK) * kTileK; }

std::vector<int8_t> int8_rows(const Setup& s, const Problem& p) {
  std::vector<int8_t> rows(static_cast<size_t>(s.m * a8_stride(s)), 0);
  for (int i = 0; i < s.m * s.k; ++i) {
    rows[static_cast<size_t>(i / s.k * a8_stride(s) + i % s.k)] =
        static_cast<int8_t>(p.a[static_cast<size_t>(i)]);
  }
  return rows;
}

std::vector<uint32_t> int4_rows(const Setup& s, const Problem& p) {
  const int64_t tiles = tiles_k(s.k);
  std::vector<uint32_t> words(static_cast<size_t>(int4_words(s.m, tiles)), 0);
  for (int i = 0; i < s.m * s.k; ++i) {
    const auto nibble = static_cast<uint32_t>(p.a[static_cast<size_t>(i)]) & 15u;
    words[static_cast<size_t>(int4_word(i / s.k, i % s.k, tiles))] |= nibble << int4_shift(i % s.k);
  }
  return words;
}

std::vector<uint32_t> weight_words(const Setup& s, const Problem& p) {
  const int64_t tiles = tiles_k(s.k), rows = divide_up(s.n, kTileN) * kTileN;
  std::vector<uint32_t> words(static_cast<size_t>(ternary_words(s.n, tiles)), 0);
  for (int64_t n = 0; n < rows; ++n) {
    for (int64_t k = 0; k < tiles * kTileK; ++k) {
      const bool inside = n < s.n && k < s.k;
      const int code = inside ? p.w[static_cast<size_t>(n * s.k + k)] : 0;
      words[static_cast<size_t>(ternary_word(n, k, tiles))] |= static_cast<uint32_t>(code + 1)
                                                               << ternary_shift(k);
    }
  }
  return words;
}

std::vector<int32_t> group_sums(const Setup& s, const Problem& p) {
  std::vector<int32_t> sums(static_cast<size_t>(s.m * p.groups), 0);
  for (int i = 0; i < s.m * s.k; ++i) {
    const int g = s.group == 0 ? 0 : i % s.k / s.group;
    sums[static_cast<size_t>(i / s.k * p.groups + g)] += p.a[static_cast<size_t>(i)];
  }
  return sums;
}

Operands upload(const Setup& s, const Problem& p) {
  return {Device<int8_t>(int8_rows(s, p)),
          Device<uint32_t>(int4_rows(s, p)),
          Device<uint32_t>(weight_words(s, p)),
          Device<int32_t>(group_sums(s, p)),
          Device<float>(p.weight_scale),
          Device<float>(p.token_scale),
          Device<float>(p.residual)};
}

cudaError_t run(const Setup& s, const ProductParams& p) {
  if (s.kernel == Kernel::kLibrary) {
    return dequantize_product(p, nullptr);
  }
  return s.kernel == Kernel::kVector
             ? ternary_vector_product(p, nullptr)
             : ternary_matrix_product(p, s.kernel == Kernel::kMatrixInt4Native, nullptr);
}

int accumulator(const Setup& s, const Problem& p, int m, int n, int g) {
  const int begin = g * s.group, end = s.group == 0 ? s.k : std::min(s.k, begin + s.group);
  int sum = 0;
  for (int k = begin; k < end; ++k) {
    sum += p.a[static_cast<size_t>(m * s.k + k)] * p.w[static_cast<size_t>(n * s.k + k)];
  }
  return sum;
}

// What cuBLASLt leaves for dequantize_product; the other kernels write theirs.
std::vector<int32_t> library_sums(const Setup& s, const Problem& p) {
  std::vector<int32_t> sums(static_cast<size_t>(s.m * s.n), 0);
  for (int i = 0; s.kernel == Kernel::kLibrary && i < s.m * s.n; ++i) {
    sums[static_cast<size_t>(i)] = accumulator(s, p, i / s.n, i % s.n, 0);
  }
  return sums;
}

float expected(const Setup& s, const Problem& p, int m, int n) {
  const float token = p.token_scale[static_cast<size_t>(m)];
  float v = 0;
  for (int g = 0; g < p.groups; ++g) {
    const int at = s.scale == Scale::kTensor ? 0 : n * p.groups + g;
    const float a = p.weight_scale[static_cast<size_t>(at)];
    const float whole = s.divides ? a / token : a * token;
    v += static_cast<float>(accumulator(s, p, m, n, g)) * (s.group == 0 ? whole : a);
  }
  const float y = s.group == 0 ? v : v * (s.divides ? 1.0f / token : token);
  return s.residual ? y + p.residual[static_cast<size_t>(m * stride_of(s) + n)] : y;
}

void check_outputs(const Setup& s, const Problem& p, const std::vector<float>& y,
                   const std::vector<int32_t>& accumulators) {
  for (int m = 0; m < s.m; ++m) {
    for (int n = 0; n < s.n; ++n) {
      const float wanted = expected(s, p, m, n);
      CHECK_THAT(same(y[static_cast<size_t>(m * stride_of(s) + n)],
                      s.out_bf16 ? rounded_to_bf16({wanted})[0] : wanted));
      if (s.group == 0) {
        CHECK_THAT(accumulators[static_cast<size_t>(m * s.n + n)] == accumulator(s, p, m, n, 0));
      }
    }
  }
}

void check(const Setup& s) {
  const Problem problem = make(s);
  const Operands o = upload(s, problem);
  const auto outputs = static_cast<size_t>(s.m * stride_of(s));
  const Device<float> y(std::vector<float>(outputs, 0));
  const Device<uint16_t> y_bf16(std::vector<uint16_t>(outputs, 0));
  const Device<int32_t> acc(library_sums(s, problem));
  ProductParams p{};
  p.m = s.m;
  p.n = s.n;
  p.k = s.k;
  p.a8 = is_int4(s) ? nullptr : o.a8.data();
  p.a8_stride = a8_stride(s);
  p.a4 = is_int4(s) ? o.a4.data() : nullptr;
  p.sums = o.sums.data();
  p.w = o.w.data();
  p.group = s.group;
  p.weight_scale = o.weight_scale.data();
  p.weight_stride = s.scale == Scale::kTensor ? 0 : problem.groups;
  p.token_scale = o.token_scale.data();
  p.token_divides = s.divides;
  p.residual = s.residual ? o.residual.data() : nullptr;
  p.out = s.out_bf16 ? static_cast<void*>(y_bf16.data()) : y.data();
  p.out_bf16 = s.out_bf16;
  p.out_stride = stride_of(s);
  p.accumulators = s.group == 0 ? acc.data() : nullptr;
  CHECK_RUNS(run(s, p));
  std::vector<float> got = y.read();
  if (s.out_bf16) {
    const std::vector<uint16_t> raw = y_bf16.read();
    for (size_t i = 0; i < raw.size(); ++i) {
      got[i] = widened({raw[i]});
    }
  }
  check_outputs(s, problem, got, acc.read());
}

// The shapes and epilogues every matrix kernel is held to.
void check_matrix(Kernel kernel) {
  check({.kernel = kernel, .m = 64, .n = 128, .k = 128});
  check({.kernel = kernel, .m = 5, .n = 9, .k = 64, .divides = false});
  check({.kernel = kernel, .m = 66, .n = 131, .k = 75, .scale = Scale::kRow, .residual = true});
  check({.kernel = kernel, .m = 17, .n = 24, .k = 256, .scale = Scale::kGroup, .group = 128});
  check({.kernel = kernel,
         .m = 33,
         .n = 40,
         .k = 320,
         .scale = Scale::kRow,
         .residual = true,
         .out_bf16 = true});
  check({.kernel = kernel, .m = 3, .n = 39, .k = 80, .out_bf16 = true, .out_stride = 41});
}

}  // namespace

SETUN_CUDA_TEST(product_vector) {
  check({.kernel = Kernel::kVector, .m = 1, .n = 16, .k = 256});
  check({.kernel = Kernel::kVector,
         .m = 1,
         .n = 11,
         .k = 75,
         .scale = Scale::kRow,
         .residual = true});
  check({.kernel = Kernel::kVector, .m = 3, .n = 8, .k = 1100, .divides = false, .out_stride = 13});
  check({.kernel = Kernel::kVector,
         .m = 16,
         .n = 8,
         .k = 192,
         .scale = Scale::kGroup,
         .group = 64,
         .out_bf16 = true});
}

SETUN_CUDA_TEST(product_matrix) { check_matrix(Kernel::kMatrix); }

SETUN_CUDA_TEST(product_matrix_int4) { check_matrix(Kernel::kMatrixInt4); }

SETUN_CUDA_TEST(product_matrix_int4_native) { check_matrix(Kernel::kMatrixInt4Native); }

SETUN_CUDA_TEST(product_of_the_library) {
  const Kernel kernel = Kernel::kLibrary;
  check({.kernel = kernel, .m = 19, .n = 48, .k = 64});
  check({.kernel = kernel, .m = 5, .n = 11, .k = 16, .scale = Scale::kRow, .divides = false});
  check({.kernel = kernel,
         .m = 7,
         .n = 32,
         .k = 32,
         .scale = Scale::kRow,
         .residual = true,
         .out_bf16 = true,
         .out_stride = 40});
}

// Warps whose columns all exist store whole sectors; the last of them here does not.
SETUN_CUDA_TEST(product_matrix_whole_sectors) {
  for (const Kernel kernel : {Kernel::kMatrix, Kernel::kMatrixInt4}) {
    check({.kernel = kernel, .m = 20, .n = 64, .k = 64, .scale = Scale::kRow, .residual = true});
    check({.kernel = kernel,
           .m = 70,
           .n = 64,
           .k = 320,
           .scale = Scale::kGroup,
           .group = 128,
           .residual = true});
    check({.kernel = kernel,
           .m = 18,
           .n = 36,
           .k = 128,
           .scale = Scale::kGroup,
           .group = 64,
           .out_bf16 = true,
           .divides = false,
           .out_stride = 44});
  }
}

SETUN_CUDA_LARGE_TEST(product_layer) {
  check({.kernel = Kernel::kVector, .m = 1, .n = 640, .k = 2560});
  check({.kernel = Kernel::kMatrix, .m = 130, .n = 384, .k = 2560, .scale = Scale::kRow});
  check({.kernel = Kernel::kMatrixInt4,
         .m = 65,
         .n = 256,
         .k = 1024,
         .scale = Scale::kGroup,
         .group = 128});
}

}  // namespace setun::cuda::testing
