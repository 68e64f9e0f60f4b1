// Expected values are written from the CUDA C++ Programming Guide (warp shuffle, vote, reduce
// functions) and the PTX ISA, so that emulators and a GPU answer to the same text.
#include "conformance.h"

#include <climits>
#include <limits>

#include "harness.h"

namespace setun::cuda::testing {
namespace {

void check_shuffles(const int* o, int lane, int width, int arg) {
  const int base = lane / width * width, within = lane % width, other = lane ^ arg;
  CHECK_THAT(o[0] == 100 + base + arg % width);
  CHECK_THAT(o[1] == 100 + (within - arg >= 0 ? lane - arg : lane));
  CHECK_THAT(o[2] == 100 + (within + arg < width ? lane + arg : lane));
  // xor may read earlier segments, not later ones
  CHECK_THAT(o[3] == 100 + (other / width <= lane / width ? other : lane));
}

void check_warp(const std::vector<int>& out, int width, int arg) {
  unsigned thirds = 0;
  int sum = 0, most = 0;
  for (int l = 0; l < 32; ++l) {
    thirds |= static_cast<unsigned>(l % 3 == 0) << l;
    sum += 100 + l;
    most = l * l % 37 > most ? l * l % 37 : most;
  }
  for (int l = 0; l < 32; ++l) {
    const int* o = &out[static_cast<size_t>(l) * 16];
    check_shuffles(o, l, width, arg);
    CHECK_THAT(static_cast<unsigned>(o[4]) == thirds);
    CHECK_THAT(o[5] == 1);
    CHECK_THAT(o[6] == 1);
    CHECK_THAT(o[7] == sum);
    CHECK_THAT(o[8] == __builtin_popcount(0x10101u * static_cast<unsigned>(l)));
    CHECK_THAT(static_cast<unsigned>(o[9]) == 0x87870100u);
    CHECK_THAT(o[10] == (l > 0 ? __builtin_clz(static_cast<unsigned>(l)) : 32));
    CHECK_THAT(o[11] == __builtin_ffs(l));
    CHECK_THAT(o[12] == static_cast<int>(1.5 * (l ^ 1)));
    CHECK_THAT(o[13] == (l < 7 ? l : 7) + (l < 3 ? -l : -3));
    CHECK_THAT(o[14] == 5);
    CHECK_THAT(o[15] == most);
  }
}

template <int kDepth>
void check_mma(cudaError_t (*run)(const MmaParams&), int low, int high) {
  Random random(kDepth);
  std::vector<int8_t> a(16 * kDepth), b(8 * kDepth);
  for (auto* m : {&a, &b}) {
    for (int8_t& v : *m) {
      v = static_cast<int8_t>(random.integer(low, high));
    }
  }
  const Device<int8_t> device_a(a), device_b(b);
  const Device<int> out(16 * 8);
  CHECK_RUNS(run({device_a.data(), device_b.data(), out.data()}));
  const std::vector<int> got = out.read();
  for (int m = 0; m < 16; ++m) {
    for (int n = 0; n < 8; ++n) {
      int sum = m / 8 * 2 + n % 2 + 1;
      for (int k = 0; k < kDepth; ++k) {
        sum += a[static_cast<size_t>(m * kDepth + k)] * b[static_cast<size_t>(n * kDepth + k)];
      }
      CHECK_THAT(got[static_cast<size_t>(m * 8 + n)] == sum);
    }
  }
}

}  // namespace

SETUN_CUDA_TEST(conform_warp) {
  for (const int width : {32, 8, 4}) {
    for (const int arg : {0, 1, 2, 3, 5, 7, 17, 31}) {
      const Device<int> out(std::vector<int>(512, -1));
      CHECK_RUNS(conform_warp({out.data(), width, arg}));
      check_warp(out.read(), width, arg);
    }
  }
}

SETUN_CUDA_TEST(conform_subsets) {
  const Device<int> out(std::vector<int>(32, -1));
  CHECK_RUNS(conform_subsets({out.data(), 0}));
  const std::vector<int> got = out.read();
  int v[12];
  for (int l = 0; l < 12; ++l) {
    v[l] = l;
  }
  for (int s = 1; s < 4; ++s) {
    int next[12];
    for (int l = 0; l < 12; ++l) {
      next[l] = v[l] + v[(l + s) % 12];
    }
    std::memcpy(v, next, sizeof v);
  }
  for (int l = 0; l < 32; ++l) {
    CHECK_THAT(got[static_cast<size_t>(l)] == (l < 12 ? v[l] : static_cast<int>(0xaaaaa000u)));
  }
}

SETUN_CUDA_TEST(conform_exit) {
  constexpr int kThreads = 50;
  const Device<int> out(std::vector<int>(3 * kThreads, -1));
  CHECK_RUNS(conform_exit({out.data(), kThreads}));
  const std::vector<int> got = out.read();
  for (int b = 0; b < 3; ++b) {
    for (int i = 0; i < kThreads; ++i) {
      const int mirrored = kThreads - 1 - i;
      CHECK_THAT(got[static_cast<size_t>(b * kThreads + i)] == mirrored * mirrored + b);
    }
  }
}

SETUN_CUDA_TEST(conform_syncwarp) {
  const Device<int> out(std::vector<int>(32, -1));
  CHECK_RUNS(conform_syncwarp({out.data(), 0}));
  const std::vector<int> got = out.read();
  for (int l = 0; l < 32; ++l) {
    CHECK_THAT(got[static_cast<size_t>(l)] == (31 - l) * 3);
  }
}

SETUN_CUDA_TEST(conform_last_block) {
  constexpr int kCount = 2000, kBlocks = 5;
  std::vector<int> x(kCount);
  int sum = 0;
  for (int i = 0; i < kCount; ++i) {
    x[static_cast<size_t>(i)] = i * 37 % 101;
    sum += i * 37 % 101;
  }
  const Device<int> in(x), partial(std::vector<int>(kBlocks, 0)), out(std::vector<int>(1, -1));
  const Device<unsigned> ticket(std::vector<unsigned>(1, 0));
  CHECK_RUNS(
      conform_last_block({in.data(), kCount, partial.data(), ticket.data(), out.data(), kBlocks}));
  CHECK_THAT(out.read()[0] == sum);
}

SETUN_CUDA_TEST(conform_dp4a) {
  constexpr int kCount = 200;
  Random random(7);
  std::vector<int> a, b;
  for (int i = 0; i < kCount; ++i) {
    a.push_back(static_cast<int>(random.bits()));
    b.push_back(static_cast<int>(random.bits()));
  }
  const Device<int> device_a(a), device_b(b), out(std::vector<int>(kCount, 0));
  CHECK_RUNS(conform_dp4a({device_a.data(), device_b.data(), kCount, out.data()}));
  const std::vector<int> got = out.read();
  for (int i = 0; i < kCount; ++i) {
    int sum = i;
    for (int byte = 0; byte < 4; ++byte) {
      const size_t at = static_cast<size_t>(i);
      sum += static_cast<int8_t>(a[at] >> (8 * byte)) * static_cast<int8_t>(b[at] >> (8 * byte));
    }
    CHECK_THAT(got[static_cast<size_t>(i)] == sum);
  }
}

SETUN_CUDA_TEST(conform_round) {
  const float inf = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> x = {0.5f,   1.5f,  2.5f,   -0.5f, -1.5f, -2.5f, 0.49999997f,
                                127.5f, 1e10f, -1e10f, nan,   inf,   -inf,  2147483520.0f};
  const std::vector<int> wanted = {0,   2,       2,       0, -2,      -2,      0,
                                   128, INT_MAX, INT_MIN, 0, INT_MAX, INT_MIN, 2147483520};
  const Device<float> in(x);
  const Device<int> out(std::vector<int>(x.size(), 7));
  CHECK_RUNS(conform_round({in.data(), static_cast<int>(x.size()), out.data()}));
  CHECK_THAT(out.read() == wanted);
}

SETUN_CUDA_TEST(conform_mma_s8) { check_mma<32>(conform_mma_s8, -128, 127); }

SETUN_CUDA_TEST(conform_mma_s4) { check_mma<64>(conform_mma_s4, -8, 7); }

}  // namespace setun::cuda::testing
