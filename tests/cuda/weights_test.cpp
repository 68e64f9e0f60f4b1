// Weight quantizers against the references of the CPU operators, bit for bit: scales, codes, words.
#include "weights.h"

#include "harness.h"
#include "layouts.h"
#include "ops/cpu/reference.h"

namespace setun::cuda::testing {
namespace {

namespace reference = ops::reference;

struct Shape {
  int64_t rows, columns, group;
};

struct Quantized {
  std::vector<float> scale;
  std::vector<int8_t> codes;
  std::vector<uint32_t> packed;
};

template <class T>
Quantized run(const std::vector<T>& w, const std::vector<float>& draws, Shape s, WeightRule rule,
              float eps) {
  const size_t groups = s.group == 0 ? 1 : w.size() / static_cast<size_t>(s.group);
  const Device<T> device_w(w);
  const Device<float> device_draws(draws), scale(groups), centre(groups),
      partial(static_cast<size_t>(weight_workspace(static_cast<int64_t>(w.size()))));
  const Device<int8_t> codes(w.size());
  const Device<uint32_t> packed(static_cast<size_t>(ternary_words(s.rows, tiles_k(s.columns))));
  const bool is_bf16 = sizeof(T) == 2;
  CHECK_RUNS(weight_scale({device_w.data(), is_bf16, s.rows, s.columns, s.group, rule, eps,
                           scale.data(), centre.data(), partial.data()},
                          nullptr));
  CHECK_RUNS(
      ternary_codes({device_w.data(), is_bf16, s.rows, s.columns, s.group, rule, scale.data(),
                     centre.data(), device_draws.data(), codes.data(), packed.data()},
                    nullptr));
  return {scale.read(), codes.read(), packed.read()};
}

reference::Row expected(const std::vector<float>& w, const std::vector<float>& draws,
                        WeightRule rule, double eps) {
  switch (rule) {
    case WeightRule::kAbsmean:
      return reference::quantize_absmean(w, eps);
    case WeightRule::kAbsmeanStochastic:
      return reference::quantize_absmean_stochastic(w, draws, eps);
    case WeightRule::kBinary:
      return reference::quantize_binary(w);
  }
  return {};
}

void check_words(const Quantized& got, Shape s) {
  const int64_t tiles = tiles_k(s.columns);
  for (int64_t n = 0; n < tiles_k(s.rows * 8) * 8 && n < (s.rows + 7) / 8 * 8; ++n) {
    for (int64_t k = 0; k < tiles * kTileK; ++k) {
      const bool inside = n < s.rows && k < s.columns;
      const int code = inside ? got.codes[static_cast<size_t>(n * s.columns + k)] : 0;
      const uint32_t word = got.packed[static_cast<size_t>(ternary_word(n, k, tiles))];
      CHECK_THAT(static_cast<int>((word >> ternary_shift(k)) & 3u) - 1 == code);
    }
  }
}

template <class T>
void check(const std::vector<T>& w, const std::vector<float>& wide, Shape s, WeightRule rule) {
  const std::vector<float> draws = [&] {
    Random random(11);
    std::vector<float> u(wide.size());
    for (float& v : u) {
      v = random.uniform(0, 1);
    }
    return u;
  }();
  constexpr float kEps = 1e-5f;
  const Quantized got = run(w, draws, s, rule, kEps);
  const size_t length = s.group == 0 ? wide.size() : static_cast<size_t>(s.group);
  for (size_t g = 0; g * length < wide.size(); ++g) {
    const auto part = [&](const auto& all) {
      const auto begin = all.begin() + static_cast<long>(g * length);
      return std::remove_cvref_t<decltype(all)>(begin, begin + static_cast<long>(length));
    };
    const reference::Row row = expected(part(wide), part(draws), rule, kEps);
    CHECK_THAT(same(got.scale[g], row.scale));
    CHECK_THAT(part(got.codes) == row.codes);
  }
  check_words(got, s);
}

void check_all_rules(Shape s, uint64_t seed) {
  const std::vector<float> w = values(static_cast<size_t>(s.rows * s.columns), seed);
  for (const WeightRule rule :
       {WeightRule::kAbsmean, WeightRule::kAbsmeanStochastic, WeightRule::kBinary}) {
    check(w, w, s, rule);
  }
}

}  // namespace

SETUN_CUDA_TEST(weights_tensor) { check_all_rules({20, 212, 0}, 1); }

SETUN_CUDA_TEST(weights_tensor_several_blocks) {
  const std::vector<float> w = values(66 * 131, 2);
  check(w, w, {66, 131, 0}, WeightRule::kAbsmean);
  check(w, w, {66, 131, 0}, WeightRule::kBinary);
}

SETUN_CUDA_TEST(weights_group) { check_all_rules({6, 256, 128}, 3); }

SETUN_CUDA_TEST(weights_row) { check_all_rules({5, 70, 70}, 4); }

SETUN_CUDA_TEST(weights_bf16) {
  const std::vector<float> w = rounded_to_bf16(values(9 * 128, 5));
  check(as_bf16(w), w, {9, 128, 0}, WeightRule::kAbsmean);
  check(as_bf16(w), w, {9, 128, 64}, WeightRule::kAbsmean);
}

SETUN_CUDA_TEST(weights_zero_huge_not_finite) {
  const float inf = std::numeric_limits<float>::infinity();
  std::vector<float> w = values(8 * 64, 6);
  std::fill_n(w.begin(), 64, 0.0f);
  w[64 * 1 + 3] = inf;
  w[64 * 2 + 5] = std::numeric_limits<float>::quiet_NaN();
  w[64 * 3 + 7] = -inf;
  w[64 * 4 + 9] = 3e38f;
  check(w, w, {8, 64, 64}, WeightRule::kAbsmean);
  check(w, w, {8, 64, 64}, WeightRule::kBinary);
  check(w, w, {8, 64, 0}, WeightRule::kAbsmean);
}

// The scale alone: the reference quantizer takes quadratic time.
SETUN_CUDA_LARGE_TEST(weights_tensor_tree) {
  for (const int64_t rows : {300, 1500}) {  // 75 and 367 blocks of 4096: uneven trees
    std::vector<float> w = values(static_cast<size_t>(rows) * 1000, 7);
    const Device<float> device_w(w), scale(1),
        partial(static_cast<size_t>(weight_workspace(rows * 1000)));
    CHECK_RUNS(weight_scale({device_w.data(), false, rows, 1000, 0, WeightRule::kAbsmean, 1e-5f,
                             scale.data(), nullptr, partial.data()},
                            nullptr));
    for (float& v : w) {
      v = std::fabs(v);
    }
    const float mean = reference::canonical_sum(w) / static_cast<float>(w.size());
    CHECK_THAT(same(scale.read()[0], mean));
  }
}

SETUN_CUDA_LARGE_TEST(weights_long_rows) {
  const std::vector<float> w = values(2 * 13000, 8);
  check(w, w, {2, 13000, 13000}, WeightRule::kAbsmean);
}

SETUN_CUDA_TEST(weights_pack_unpack) {
  constexpr int64_t kRows = 21, kColumns = 77;
  Random random(9);
  std::vector<int8_t> codes(kRows * kColumns);
  for (int8_t& c : codes) {
    c = static_cast<int8_t>(random.integer(-1, 1));
  }
  const Device<int8_t> device_codes(codes), back(codes.size());
  const Device<bf16> wide(codes.size());
  for (const bool transpose : {false, true}) {
    const int64_t rows = transpose ? kColumns : kRows, columns = transpose ? kRows : kColumns;
    const Device<uint32_t> packed(static_cast<size_t>(ternary_words(rows, tiles_k(columns))));
    CHECK_RUNS(
        pack_ternary({device_codes.data(), kRows, kColumns, transpose, packed.data()}, nullptr));
    CHECK_RUNS(
        unpack_ternary({packed.data(), rows, columns, wide.data(), back.data(), nullptr}, nullptr));
    const std::vector<int8_t> got = back.read();
    const std::vector<uint32_t> words = packed.read();
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < columns; ++c) {
        const int64_t from = transpose ? c * kColumns + r : r * kColumns + c;
        CHECK_THAT(got[static_cast<size_t>(r * columns + c)] == codes[static_cast<size_t>(from)]);
      }
    }
  }
  std::vector<bf16> got(codes.size());
  CHECK_THAT(cudaMemcpy(got.data(), wide.data(), wide.bytes(), cudaMemcpyDeviceToHost) ==
             cudaSuccess);
  hash_bytes(got.data(), wide.bytes());
  const std::vector<int8_t> last = back.read();
  for (size_t i = 0; i < codes.size(); ++i) {
    CHECK_THAT(widened(got[i]) == static_cast<float>(last[i]));
  }
}

}  // namespace setun::cuda::testing
