// Times of the kernels on a GPU beside cuBLASLt's int8 and bf16 products, as CSV samples for
// scripts/gpu_check: kernel,m,n,k,microseconds (median of 50, over buffers of more than 50 MB so
// that weights do not stay in the L2 cache). Speed only: results are the tests' matter.
#include <cublasLt.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

#include "adamw.h"
#include "cross_entropy.h"
#include "elements.h"
#include "layouts.h"
#include "lt_matmul.h"
#include "products.h"
#include "step.h"
#include "tokens.h"
#include "weights.h"

namespace setun::cuda {
namespace {

constexpr int kSamples = 50;
constexpr size_t kRotated = size_t{64} << 20, kWorkspace = size_t{32} << 20;

[[noreturn]] void die(const char* what, const char* why) {
  std::fprintf(stderr, "%s: %s\n", what, why);
  std::exit(1);
}
void check(const char* what, cudaError_t error) {
  if (error != cudaSuccess) {
    die(what, cudaGetErrorString(error));
  }
}

// Device memory that holds `copies` of one operand, filled with small numbers.
class Buffer {
 public:
  explicit Buffer(size_t bytes, bool rotate = false)
      : bytes_(divide_up(static_cast<int64_t>(bytes), 256) * 256),
        copies_(rotate ? kRotated / static_cast<size_t>(bytes_) + 1 : 1) {
    const size_t all = static_cast<size_t>(bytes_) * copies_;
    check("cudaMalloc", cudaMalloc(&data_, all));
    check("cudaMemset", cudaMemset(data_, 0x11, all));
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { cudaFree(data_); }

  template <class T = void>
  T* at(int turn = 0) const {
    const auto copy = static_cast<size_t>(turn) % copies_;
    return reinterpret_cast<T*>(static_cast<char*>(data_) + static_cast<size_t>(bytes_) * copy);
  }

 private:
  int64_t bytes_;
  size_t copies_;
  void* data_ = nullptr;
};

void sample(const char* kernel, int m, int n, int k, const std::function<void(int)>& run) {
  cudaEvent_t begin{}, end{};
  check("cudaEventCreate", cudaEventCreate(&begin));
  check("cudaEventCreate", cudaEventCreate(&end));
  std::vector<float> times;
  for (int i = -5; i < kSamples; ++i) {  // five to warm up
    check("cudaEventRecord", cudaEventRecord(begin, nullptr));
    run(i + 5);
    check("cudaEventRecord", cudaEventRecord(end, nullptr));
    check(kernel, cudaEventSynchronize(end));
    float milliseconds = 0;
    check("cudaEventElapsedTime", cudaEventElapsedTime(&milliseconds, begin, end));
    if (i >= 0) {
      times.push_back(1000 * milliseconds);
    }
  }
  std::nth_element(times.begin(), times.begin() + kSamples / 2, times.end());
  std::printf("%s,%d,%d,%d,%.3f\n", kernel, m, n, k, static_cast<double>(times[kSamples / 2]));
  std::fflush(stdout);
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
}

void products(cublasLtHandle_t lt, int m, int n, int k) {
  const auto size = [](int a, int b, size_t each) {
    return static_cast<size_t>(a) * static_cast<size_t>(b) * each;
  };
  const int64_t tiles = tiles_k(k);
  const Buffer a8(size(m, k, 1)), a16(size(m, k, 2)), sums(size(m, 1, 4)), token(size(m, 1, 4)),
      scale(size(n, 1, 4)), y(size(m, n, 4)), workspace(kWorkspace);
  const Buffer a4(static_cast<size_t>(int4_words(m, tiles)) * 4);
  const Buffer words(static_cast<size_t>(ternary_words(n, tiles)) * 4, true);
  const Buffer b8(size(n, k, 1), true), b16(size(n, k, 2), true);
  ProductParams p{};
  p.m = m;
  p.n = n;
  p.k = k;
  p.a8 = a8.at<int8_t>();
  p.a8_stride = k;
  p.sums = sums.at<int32_t>();
  p.weight_scale = scale.at<float>();
  p.token_scale = token.at<float>();
  p.out = y.at();
  p.out_bf16 = true;
  p.out_stride = n;
  if (m <= kMaxVectorRows) {
    sample("w2a8_vector", m, n, k, [&](int turn) {
      p.w = words.at<uint32_t>(turn);
      check("w2a8_vector", ternary_vector_product(p, nullptr));
    });
  }
  sample("w2a8_matrix", m, n, k, [&](int turn) {
    p.w = words.at<uint32_t>(turn);
    check("w2a8_matrix", ternary_matrix_product(p, false, nullptr));
  });
  ProductParams q = p;
  q.a8 = nullptr;
  q.a4 = a4.at<uint32_t>();
  sample("w2a4_matrix", m, n, k, [&](int turn) {
    q.w = words.at<uint32_t>(turn);
    check("w2a4_matrix", ternary_matrix_product(q, false, nullptr));
  });
  for (const bool bf16 : {false, true}) {
    if (!bf16 && m <= kMaxVectorRows) {
      continue;  // the library has no int8 kernel for so few rows
    }
    sample(bf16 ? "cublaslt_bf16" : "cublaslt_int8", m, n, k, [&](int turn) {
      const char* error =
          lt_matmul(lt,
                    {m, n, k, bf16, bf16 ? a16.at() : a8.at(), bf16 ? b16.at(turn) : b8.at(turn),
                     y.at(), workspace.at(), kWorkspace},
                    nullptr);
      if (error != nullptr) {
        die("cublaslt", error);
      }
    });
  }
}

void tokens(int m, int k) {
  const auto count = static_cast<size_t>(m) * static_cast<size_t>(k);
  const Buffer x(count * 2, true), gain(static_cast<size_t>(k) * 4), codes(count),
      int4(static_cast<size_t>(int4_words(m, tiles_k(k))) * 4), rows(static_cast<size_t>(m) * 8);
  TokenParams p{};
  p.is_bf16 = true;
  p.rows = m;
  p.columns = k;
  p.norm = true;
  p.norm_eps = 1e-6f;
  p.gain = gain.at<float>();
  p.rule = TokenRule::kAbsmax;
  p.bits = 8;
  p.eps = 1e-5f;
  p.scale = rows.at<float>();
  p.sums = rows.at<int32_t>() + m;
  const auto timed = [&](const char* name, TokenParams one) {
    sample(name, m, 0, k, [&](int turn) {
      one.x = x.at(turn);
      check(name, transform_tokens(one, nullptr));
    });
  };
  TokenParams int8 = p;
  int8.codes = codes.at<int8_t>();
  int8.code_stride = k;
  timed("norm_int8", int8);
  TokenParams four = p;
  four.rule = TokenRule::kAbsmean;
  four.bits = 4;
  four.multiplier = 2.5f;
  four.int4 = int4.at<uint32_t>();
  timed("norm_int4", four);
  int8.hadamard_block = k & -k;
  timed("norm_hadamard_int8", int8);
  int8.hadamard_block = 0;
  int8.keep = k / 2;
  int8.every = k;
  timed("norm_topk_int8", int8);
}

void weights(int n, int k) {
  const auto count = static_cast<size_t>(n) * static_cast<size_t>(k);
  const Buffer w(count * 4, true), scale(256),
      partial(static_cast<size_t>(weight_workspace(static_cast<int64_t>(count))) * 4),
      words(static_cast<size_t>(ternary_words(n, tiles_k(k))) * 4);
  sample("absmean_pack", 0, n, k, [&](int turn) {
    check("weight_scale", weight_scale({w.at(turn), false, n, k, 0, WeightRule::kAbsmean, 1e-5f,
                                        scale.at<float>(), nullptr, partial.at<float>()},
                                       nullptr));
    check("ternary_codes",
          ternary_codes({w.at(turn), false, n, k, 0, WeightRule::kAbsmean, scale.at<float>(),
                         nullptr, nullptr, nullptr, words.at<uint32_t>()},
                        nullptr));
  });
}

// The rest of a step for m tokens of bf16, `n` wide: one pass over memory each.
void streams(int m, int n) {
  const int64_t count = static_cast<int64_t>(m) * n;
  const auto bytes = static_cast<size_t>(count) * 2;
  const Buffer a(bytes, true), b(bytes, true), c(bytes, true), d(bytes), e(bytes),
      tables(static_cast<size_t>(m) * 64 * 4), scale(static_cast<size_t>(m) * 4);
  constexpr int kHalf = 64;
  const int64_t dim = 2 * kHalf, heads = n / dim;
  sample("rope", m, n, 0, [&](int turn) {
    check("rope", rope({a.at(turn), d.at(), true, 1, heads, m, kHalf, count, dim, n, count, dim, n,
                        tables.at<float>(), tables.at<float>(), 1},
                       nullptr));
  });
  GatedParams p{};
  p.is_bf16 = true;
  p.count = count;
  p.y = p.d_gate = d.at();
  p.d_up = e.at();
  const auto gated = [&](const char* name, cudaError_t (*run)(const GatedParams&, cudaStream_t)) {
    sample(name, m, n, 0, [&](int turn) {
      p.gate = a.at(turn);
      p.up = b.at(turn);
      p.dy = c.at(turn);
      check(name, run(p, nullptr));
    });
  };
  gated("swiglu", gated_activation);
  gated("swiglu_backward", gated_backward);
  sample("dequantize", m, n, 0, [&](int turn) {
    check("dequantize",
          dequantize_rows({a.at<int8_t>(turn), scale.at<float>(), m, n, d.at(), true}, nullptr));
  });
}

void losses(int m, int classes) {
  const Buffer z(static_cast<size_t>(m) * static_cast<size_t>(classes) * 2),
      targets(static_cast<size_t>(m) * 8), out(static_cast<size_t>(m) * 4);
  check("cudaMemset", cudaMemset(targets.at(), 0, static_cast<size_t>(m) * 8));  // class 0
  sample("cross_entropy", m, classes, 0, [&](int) {
    check("cross_entropy", cross_entropy({z.at(), true, m, classes, targets.at<int64_t>(), -100, 1,
                                          out.at<float>(), true},
                                         nullptr));
  });
}

void optimizer(int n, int k) {
  const auto count = static_cast<size_t>(n) * static_cast<size_t>(k);
  const Buffer w(count * 4, true), grad(count * 4, true), m(count * 4, true), v(count * 4, true),
      partial(static_cast<size_t>(weight_workspace(static_cast<int64_t>(count))) * 4),
      squares(static_cast<size_t>(squares_workspace(static_cast<int64_t>(count))) * 8 + 8),
      factors(sizeof(float) * 8);
  const float values[] = {1, 1, 1e-3f, 2, 1e-8f, 0.1f, 0.95f, 0.05f};
  check("cudaMemcpy", cudaMemcpy(factors.at(), values, sizeof values, cudaMemcpyHostToDevice));
  sample("adamw", 0, n, k, [&](int turn) {
    check("adamw", adamw({w.at<float>(turn), grad.at<float>(turn), m.at<float>(turn),
                          v.at<float>(turn), n, k, factors.at<float>(), partial.at<float>()},
                         nullptr));
  });
  sample("sum_of_squares", 0, n, k, [&](int turn) {
    check("sum_of_squares", sum_of_squares({grad.at<float>(turn), static_cast<int64_t>(count),
                                            squares.at<double>() + 1, squares.at<double>()},
                                           nullptr));
  });
}

}  // namespace
}  // namespace setun::cuda

int main() {
  using namespace setun::cuda;
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::printf("no CUDA device\n");
    return 77;
  }
  cublasLtHandle_t lt = nullptr;
  if (cublasLtCreate(&lt) != CUBLAS_STATUS_SUCCESS) {
    die("cublasLtCreate", "failed");
  }
  constexpr int kShapes[][2] = {{2560, 2560}, {3840, 2560}, {13824, 2560},
                                {2560, 6912}, {4096, 4096}, {8192, 8192}};
  for (const auto& [n, k] : kShapes) {
    for (const int m : {1, 16, 512, 8192}) {
      products(lt, m, n, k);
    }
    weights(n, k);
    optimizer(n, k);
  }
  for (const int m : {1, 16, 512, 8192}) {
    streams(m, 2560);
    losses(m, 32000);
  }
  for (const int k : {2560, 8192}) {
    for (const int m : {1, 16, 512, 8192}) {
      tokens(m, k);
    }
  }
  cublasLtDestroy(lt);
}
