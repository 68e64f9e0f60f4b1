// What only training needs: the integer backward product, the fused optimizer step, the chunked
// cross-entropy.
#include <algorithm>
#include <cmath>

#include "adamw.h"
#include "base/counter_rng.h"
#include "cross_entropy.h"
#include "harness.h"
#include "layouts.h"
#include "ops/cpu/reference.h"
#include "ops/cpu/step_kernels.h"
#include "products.h"
#include "tokens.h"
#include "weights.h"

namespace setun::cuda::testing {
namespace {

using Floats = std::vector<float>;

struct Stochastic {
  Floats scale;
  std::vector<int8_t> codes;
};

Stochastic stochastic_codes(const Floats& g, int64_t rows, uint64_t key) {
  Stochastic q;
  const size_t columns = g.size() / static_cast<size_t>(rows);
  for (size_t start = 0; start < g.size(); start += columns) {
    const auto begin = g.begin() + static_cast<long>(start);
    Floats draws;
    for (size_t i = start; i < start + columns; ++i) {
      draws.push_back(random_uniform_float(key, i));
    }
    const auto row =
        ops::reference::quantize_gradient(Floats(begin, begin + static_cast<long>(columns)), draws);
    q.scale.push_back(row.scale);
    q.codes.insert(q.codes.end(), row.codes.begin(), row.codes.end());
  }
  return q;
}

TokenParams stochastic_params(const Device<float>& dy, int64_t rows, int columns,
                              const Device<float>& column_scale) {
  TokenParams p{};
  p.x = dy.data();
  p.rows = rows;
  p.columns = columns;
  p.rule = TokenRule::kAbsmaxStochastic;
  p.bits = 8;
  p.eps = 1e-30f;
  p.draw_key = 0x1234567890ABCDEFull;
  p.column_scale = column_scale.data();
  return p;
}

}  // namespace

// dX = (dY a) T with dY in stochastic int8, T ternary and a its row scale: exact in integers.
SETUN_CUDA_TEST(training_input_gradient) {
  constexpr int kRows = 6, kOut = 40, kIn = 72, kStride = 64;
  Random random(3);
  const Floats dy = values(kRows * kOut, 31);
  Floats a(kOut), scaled(dy.size());
  std::vector<int8_t> t(kOut * kIn);
  for (float& v : a) {
    v = random.uniform(0.5f, 2);
  }
  for (int8_t& v : t) {
    v = static_cast<int8_t>(random.integer(-1, 1));
  }
  for (size_t i = 0; i < dy.size(); ++i) {
    scaled[i] = dy[i] * a[i % kOut];
  }
  const Device<float> device_dy(dy), device_a(a), scale(kRows), one(Floats(1, 1.0f)),
      dx(Floats(kRows * kIn, 0));
  const Device<int8_t> codes(kRows * kStride), device_t(t);
  const Device<int32_t> sums(kRows), acc(std::vector<int32_t>(kRows * kIn, 0));
  const Device<uint32_t> packed(static_cast<size_t>(ternary_words(kIn, tiles_k(kOut))));
  TokenParams q = stochastic_params(device_dy, kRows, kOut, device_a);
  q.codes = codes.data();
  q.code_stride = kStride;
  q.scale = scale.data();
  q.sums = sums.data();
  CHECK_RUNS(transform_tokens(q, nullptr));
  CHECK_RUNS(pack_ternary({device_t.data(), kOut, kIn, true, packed.data()}, nullptr));
  ProductParams p{};
  p.m = kRows;
  p.n = kIn;
  p.k = kOut;
  p.a8 = codes.data();
  p.a8_stride = kStride;
  p.sums = sums.data();
  p.w = packed.data();
  p.weight_scale = one.data();
  p.token_scale = scale.data();
  p.token_divides = true;
  p.out = dx.data();
  p.out_stride = kIn;
  p.accumulators = acc.data();
  CHECK_RUNS(ternary_matrix_product(p, false, nullptr));
  const Stochastic wanted = stochastic_codes(scaled, kRows, q.draw_key);
  const Floats got_scale = scale.read(), got = dx.read();
  const std::vector<int32_t> got_acc = acc.read();
  CHECK_THAT(all_same(got_scale, wanted.scale));
  for (int m = 0; m < kRows; ++m) {
    for (int k = 0; k < kIn; ++k) {
      int sum = 0;
      for (int n = 0; n < kOut; ++n) {
        sum +=
            wanted.codes[static_cast<size_t>(m * kOut + n)] * t[static_cast<size_t>(n * kIn + k)];
      }
      const auto at = static_cast<size_t>(m * kIn + k);
      CHECK_THAT(got_acc[at] == sum);
      CHECK_THAT(
          same(got[at], static_cast<float>(sum) * (1.0f / wanted.scale[static_cast<size_t>(m)])));
    }
  }
}

// The mean over keys of the dequantized gradient is the gradient: unbiased.
SETUN_CUDA_LARGE_TEST(training_stochastic_rounding_unbiased) {
  constexpr int kColumns = 64, kDraws = 4000;
  const Floats g = values(kColumns, 5);
  Floats repeated;
  for (int i = 0; i < kDraws; ++i) {
    repeated.insert(repeated.end(), g.begin(), g.end());
  }
  const Device<float> dy(repeated), ones(Floats(kColumns, 1.0f)), value(repeated.size());
  TokenParams p = stochastic_params(dy, kDraws, kColumns, ones);
  p.fake = value.data();
  CHECK_RUNS(transform_tokens(p, nullptr));
  const Floats got = value.read();
  float largest = 0;
  for (const float v : g) {
    largest = std::max(largest, std::fabs(v));
  }
  for (size_t c = 0; c < kColumns; ++c) {
    double mean = 0;
    for (size_t r = 0; r < kDraws; ++r) {
      mean += static_cast<double>(got[r * kColumns + c]) / kDraws;
    }
    // A draw's standard deviation is at most half a step; five of them over sqrt(draws).
    const double bound = 5 * 0.5 * static_cast<double>(largest) / 127 / std::sqrt(kDraws);
    CHECK_THAT(std::fabs(mean - static_cast<double>(g[c])) <= bound);
  }
}

SETUN_CUDA_TEST(training_adamw_ternary) {
  constexpr int64_t kRows = 67, kColumns = 64;
  for (const int64_t group : {int64_t{0}, int64_t{64}}) {
    Floats w = values(kRows * kColumns, 21), m = values(w.size(), 22), v = values(w.size(), 23);
    const Floats grad = values(w.size(), 24);
    for (float& x : v) {
      x = std::fabs(x);
    }
    const size_t groups = group == 0 ? 1 : w.size() / 64;
    const Device<float> dw(w), dg(grad), dm(m), dv(v), scale(groups),
        partial(static_cast<size_t>(weight_workspace(kRows * kColumns)));
    const Device<int8_t> codes(w.size());
    const Device<uint32_t> packed(static_cast<size_t>(ternary_words(kRows, tiles_k(kColumns))));
    const ops::cpu::AdamWScalars s{0.75f, 0.9997f, 0.011f, 2.7f, 1e-8f, 0.1f, 0.95f, 0.05f};
    const Device<float> factors(
        Floats{s.clip, s.decay, s.rate, s.correction, s.eps, s.first, s.beta2, s.second});
    const AdamWParams u{dw.data(), dg.data(), dm.data(),      dv.data(),
                        kRows,     kColumns,  factors.data(), partial.data()};
    CHECK_RUNS(
        adamw_ternary({u, group, 1e-5f, scale.data(), codes.data(), packed.data()}, nullptr));
    ops::cpu::step_kernels_scalar().adamw(s, grad.data(), kRows * kColumns, w.data(), m.data(),
                                          v.data());
    CHECK_THAT(all_same(dw.read(), w));
    CHECK_THAT(all_same(dm.read(), m));
    CHECK_THAT(all_same(dv.read(), v));
    const Floats got_scale = scale.read();
    const std::vector<int8_t> got = codes.read();
    packed.read();
    const size_t length = w.size() / groups;
    for (size_t i = 0; i < groups; ++i) {
      const auto begin = w.begin() + static_cast<long>(i * length);
      const auto row =
          ops::reference::quantize_absmean(Floats(begin, begin + static_cast<long>(length)), 1e-5f);
      CHECK_THAT(same(got_scale[i], row.scale));
      CHECK_THAT(std::equal(row.codes.begin(), row.codes.end(),
                            got.begin() + static_cast<long>(i * length)));
    }
  }
}

namespace {

// Against double precision: exp, the sum and the division each stay within a few roundings.
void check_cross_entropy(const Floats& z, const std::vector<int64_t>& targets, const Floats& dz,
                         const Floats& losses, float grad_scale, double tolerance) {
  const size_t columns = z.size() / targets.size();
  for (size_t r = 0; r < targets.size(); ++r) {
    const auto begin = z.begin() + static_cast<long>(r * columns);
    const auto largest =
        static_cast<double>(*std::max_element(begin, begin + static_cast<long>(columns)));
    double sum = 0;
    for (size_t c = 0; c < columns; ++c) {
      sum += std::exp(static_cast<double>(z[r * columns + c]) - largest);
    }
    const bool counted = targets[r] >= 0;
    const double loss =
        counted ? std::log(sum) + largest -
                      static_cast<double>(z[r * columns + static_cast<size_t>(targets[r])])
                : 0;
    CHECK_THAT(std::fabs(static_cast<double>(losses[r]) - loss) <= 1e-6 * (1 + std::fabs(loss)));
    for (size_t c = 0; c < columns; ++c) {
      const double share = std::exp(static_cast<double>(z[r * columns + c]) - largest) / sum;
      const double one = static_cast<int64_t>(c) == targets[r] ? 1 : 0;
      const double wanted = counted ? (share - one) * static_cast<double>(grad_scale) : 0;
      CHECK_THAT(std::fabs(static_cast<double>(dz[r * columns + c]) - wanted) <=
                 tolerance * static_cast<double>(grad_scale));
    }
  }
}

void run_cross_entropy(int64_t columns, bool is_bf16, uint64_t seed) {
  const std::vector<int64_t> targets = {3, -100, columns - 1};
  Floats z = values(targets.size() * static_cast<size_t>(columns), seed);
  for (float& v : z) {
    v *= 10;
  }
  z = rounded_to_bf16(z);
  const Device<float> wide(z), losses(targets.size());
  const Device<bf16> narrow(as_bf16(z));
  const Device<int64_t> device_targets(targets);
  CHECK_RUNS(cross_entropy(
      {is_bf16 ? static_cast<void*>(narrow.data()) : wide.data(), is_bf16, 3,
       static_cast<int>(columns), device_targets.data(), -100, 0.25f, losses.data(), true},
      nullptr));
  Floats dz;
  if (is_bf16) {
    std::vector<uint16_t> raw(z.size());
    CHECK_THAT(cudaMemcpy(raw.data(), narrow.data(), narrow.bytes(), cudaMemcpyDeviceToHost) ==
               cudaSuccess);
    hash_values(raw);
    for (const uint16_t v : raw) {
      dz.push_back(widened({v}));
    }
  } else {
    dz = wide.read();
  }
  check_cross_entropy(z, targets, dz, losses.read(), 0.25f, is_bf16 ? 0x1p-9 : 5e-7);
}

}  // namespace

SETUN_CUDA_TEST(training_cross_entropy) {
  run_cross_entropy(300, false, 41);
  run_cross_entropy(257, true, 42);
}

// Pieces of 16 bytes, over more than one block of the sum.
SETUN_CUDA_TEST(training_cross_entropy_pieces) {
  run_cross_entropy(4104, true, 46);
  run_cross_entropy(4100, false, 47);
}

namespace {

void check_as_on_cpu(Floats z) {
  const auto columns = static_cast<int>(z.size());
  const Device<float> logits(z), losses(1);
  const Device<int64_t> targets(std::vector<int64_t>{17});
  CHECK_RUNS(cross_entropy(
      {logits.data(), false, 1, columns, targets.data(), -100, 1.0f, losses.data(), true},
      nullptr));
  ops::cpu::step_kernels_scalar().cross_entropy_gradient({z.data(), ops::cpu::Element::kFp32}, 17,
                                                         columns);
  CHECK_THAT(all_same(logits.read(), z));
}

}  // namespace

// The gradient has the CPU kernel's bits.
SETUN_CUDA_TEST(training_cross_entropy_as_on_cpu) { check_as_on_cpu(values(4500, 44)); }

// Also where e^x is a denormal's half, and where it ends.
SETUN_CUDA_TEST(training_cross_entropy_small_shares) {
  Floats z(1001, 0.0f);
  for (size_t i = 1; i < z.size(); ++i) {
    z[i] = -86.0f - static_cast<float>(i) * 0x1p-9f;
  }
  check_as_on_cpu(z);
}

SETUN_CUDA_LARGE_TEST(training_cross_entropy_vocabulary) { run_cross_entropy(50000, false, 43); }

namespace {

// One logit that is not finite makes the loss and the gradient NaN.
void check_not_finite(float logit) {
  Floats z(64, 1.0f);
  z[5] = logit;
  const Device<float> logits(z), losses(1);
  const Device<int64_t> targets(std::vector<int64_t>{2});
  CHECK_RUNS(cross_entropy(
      {logits.data(), false, 1, 64, targets.data(), -100, 1.0f, losses.data(), true}, nullptr));
  CHECK_THAT(std::isnan(losses.read()[0]));
  CHECK_THAT(std::isnan(logits.read()[0]));
}

}  // namespace

SETUN_CUDA_TEST(training_cross_entropy_not_finite) {
  check_not_finite(std::numeric_limits<float>::quiet_NaN());
}

SETUN_CUDA_TEST(training_cross_entropy_infinite) {
  check_not_finite(std::numeric_limits<float>::infinity());
}

}  // namespace setun::cuda::testing
