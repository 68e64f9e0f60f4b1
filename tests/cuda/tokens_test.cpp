// The token kernel against the CPU operators, bit for bit: each rule alone, each stage alone, and
// the fused chains. The expected row is made of the references and of the portable step kernels,
// which define the order of operations of norms.
#include "tokens.h"
#include "elements.h"

#include <algorithm>
#include <cmath>

#include "harness.h"
#include "layouts.h"
#include "ops/cpu/reference.h"
#include "ops/cpu/step_kernels.h"

namespace setun::cuda::testing {
namespace {

namespace reference = ops::reference;
using Floats = std::vector<float>;

struct Setup {
  int64_t rows;
  int columns;
  bool norm = false, centre = false, gain = false;
  int hadamard = 0, keep = 0, every = 0;
  TokenRule rule = TokenRule::kNone;
  int bits = 0;
  int64_t code_stride = 0;  // 0: columns
  int sum_group = 0;
  int shift = 0;  // elements between an aligned address and the first row
};

constexpr float kEps = 1e-5f, kNormEps = 1e-6f, kMultiplier = 2.5f;

struct Expected {
  Floats dense, fake, minimum;
  float factor = 0, scale = 0;
  std::vector<int> codes;
  std::vector<bool> mask;
};

Floats dense_row(const Floats& x, const Setup& s, const Floats& gain, float* factor) {
  const ops::cpu::StepKernels& kernels = ops::cpu::step_kernels_scalar();
  const auto n = static_cast<int64_t>(x.size());
  const ops::cpu::InRow row{x.data(), ops::cpu::Element::kFp32};
  Floats y = x;
  if (s.norm && s.centre) {
    *factor = kernels.layer_norm(row, n, kNormEps, y.data());
  } else if (s.norm) {
    *factor = kernels.rms_norm(row, s.gain ? gain.data() : nullptr, n, kNormEps, y.data());
  }
  for (size_t start = 0; s.hadamard > 0 && start < y.size();
       start += static_cast<size_t>(s.hadamard)) {
    const auto begin = y.begin() + static_cast<long>(start);
    const Floats block = reference::hadamard(Floats(begin, begin + s.hadamard));
    std::copy(block.begin(), block.end(), begin);
  }
  return y;
}

std::vector<bool> mask_of(const Floats& x, const Setup& s) {
  if (s.keep == 0) {
    return std::vector<bool>(x.size(), true);
  }
  std::vector<bool> mask;
  for (size_t start = 0; start < x.size(); start += static_cast<size_t>(s.every)) {
    const auto begin = x.begin() + static_cast<long>(start);
    const std::vector<bool> part = reference::topk_mask(Floats(begin, begin + s.every), s.keep);
    mask.insert(mask.end(), part.begin(), part.end());
  }
  return mask;
}

void quantize(const Floats& x, const Setup& s, Expected& e) {
  const auto from_row = [&](const reference::Row& row) {
    e.scale = row.scale;
    e.codes.assign(row.codes.begin(), row.codes.end());
    e.fake = row.value;
  };
  switch (s.rule) {
    case TokenRule::kAbsmax:
      return from_row(reference::quantize_absmax(x, s.bits, kEps));
    case TokenRule::kAbsmean:
      return from_row(reference::quantize_act_absmean(x, s.bits, kMultiplier, kEps));
    case TokenRule::kE2m1:
      return from_row(reference::quantize_fp4(x));
    case TokenRule::kStep:
      return from_row(reference::quantize_kv(x, s.bits, kEps));
    case TokenRule::kOffset: {
      const reference::OffsetRow row = reference::quantize_kv_asymmetric(x, s.bits, kEps);
      e.scale = row.scale;
      e.minimum = {row.minimum};
      e.codes.assign(row.codes.begin(), row.codes.end());
      e.fake = row.value;
      return;
    }
    case TokenRule::kAbsmaxStochastic:  // training_test.cpp
    case TokenRule::kRoundE2m1:
    case TokenRule::kNone:
      e.codes.assign(x.size(), 0);
      for (const float v : x) {
        e.fake.push_back(s.rule == TokenRule::kNone ? 0.0f : reference::round_e2m1(v));
      }
  }
}

// A masked code is 0, its value is what the rule makes of code 0.
Expected expected_row(const Floats& x, const Setup& s, const Floats& gain) {
  Expected e;
  e.dense = dense_row(x, s, gain, &e.factor);
  e.mask = mask_of(e.dense, s);
  quantize(e.dense, s, e);
  for (size_t i = 0; i < x.size(); ++i) {
    if (!e.mask[i]) {
      e.codes[i] = 0;
      e.fake[i] = e.scale == e.scale ? 0.0f : e.scale;
    }
  }
  return e;
}

struct Results {
  Floats dense, factor, scale, minimum, fake;
  std::vector<bf16> fake_bf16;
  std::vector<uint8_t> mask;
  std::vector<uint32_t> mask_bits, int4;
  std::vector<int8_t> codes;
  std::vector<int32_t> sums;
};

int64_t stride_of(const Setup& s) { return s.code_stride == 0 ? s.columns : s.code_stride; }
size_t groups_of(const Setup& s) {
  return s.sum_group == 0 ? 1 : static_cast<size_t>((s.columns + s.sum_group - 1) / s.sum_group);
}

template <class T>
Results run(const std::vector<T>& x, const Setup& s, const Floats& gain) {
  const auto rows = static_cast<size_t>(s.rows), count = x.size();
  const bool is_bf16 = sizeof(T) == 2;
  const auto shift = static_cast<size_t>(s.shift);
  std::vector<T> shifted(shift);
  shifted.insert(shifted.end(), x.begin(), x.end());
  const Device<T> in(shifted), fake(count);
  const Device<float> device_gain(gain), dense(count), factor(Floats(rows, 0)), scale(rows),
      minimum(rows);
  const Device<uint8_t> mask(count);
  const Device<uint32_t> bits(rows * static_cast<size_t>((s.columns + 31) / 32)),
      int4(static_cast<size_t>(int4_words(s.rows, tiles_k(s.columns))));
  const Device<int8_t> codes(rows * static_cast<size_t>(stride_of(s)));
  const Device<int32_t> sums(rows * groups_of(s));
  TokenParams p{};
  p.x = in.data() + shift;
  p.is_bf16 = is_bf16;
  p.rows = s.rows;
  p.columns = s.columns;
  p.centre = s.centre;
  p.norm = s.norm;
  p.gain = s.gain ? device_gain.data() : nullptr;
  p.norm_eps = kNormEps;
  p.hadamard_block = s.hadamard;
  p.keep = s.keep;
  p.every = s.every;
  p.rule = s.rule;
  p.bits = s.bits;
  p.multiplier = kMultiplier;
  p.eps = kEps;
  p.dense = dense.data();
  p.factor = factor.data();
  p.fake = fake.data();
  p.mask = mask.data();
  p.mask_bits = bits.data();
  p.codes = codes.data();
  p.code_stride = stride_of(s);
  p.int4 = int4.data();
  p.scale = scale.data();
  p.minimum = minimum.data();
  p.sums = sums.data();
  p.sum_group = s.sum_group;
  CHECK_RUNS(transform_tokens(p, nullptr));
  Results r{dense.read(), factor.read(), scale.read(), minimum.read(), {},         {},
            mask.read(),  bits.read(),   int4.read(),  codes.read(),   sums.read()};
  if constexpr (is_bf16) {
    std::vector<uint16_t> raw(count);
    CHECK_THAT(cudaMemcpy(raw.data(), fake.data(), fake.bytes(), cudaMemcpyDeviceToHost) ==
               cudaSuccess);
    hash_values(raw);
    for (const uint16_t v : raw) {
      r.fake_bf16.push_back({v});
    }
  } else {
    r.fake = fake.read();
  }
  return r;
}

void check_codes(const Results& got, const Expected& e, const Setup& s, size_t row) {
  const auto columns = static_cast<size_t>(s.columns), stride = static_cast<size_t>(stride_of(s));
  std::vector<int32_t> sums(groups_of(s), 0);
  for (size_t i = 0; i < stride; ++i) {
    const int code = i < columns ? e.codes[i] : 0;
    CHECK_THAT(got.codes[row * stride + i] == static_cast<int8_t>(code));
    sums[s.sum_group == 0 || i >= columns ? 0 : i / static_cast<size_t>(s.sum_group)] += code;
  }
  CHECK_THAT(std::equal(sums.begin(), sums.end(),
                        got.sums.begin() + static_cast<long>(row * sums.size())));
  const int64_t tiles = tiles_k(s.columns);
  for (int64_t k = 0; k < tiles * kTileK; ++k) {
    const int code = k < s.columns ? e.codes[static_cast<size_t>(k)] : 0;
    const auto word = static_cast<size_t>(int4_word(static_cast<int64_t>(row), k, tiles));
    CHECK_THAT(((got.int4[word] >> int4_shift(k)) & 15u) == (static_cast<unsigned>(code) & 15u));
  }
}

void check_row(const Results& got, const Expected& e, const Setup& s, size_t row) {
  const auto columns = static_cast<size_t>(s.columns), words = (columns + 31) / 32;
  const bool coded = s.rule != TokenRule::kNone && s.rule != TokenRule::kRoundE2m1;
  for (size_t i = 0; i < columns; ++i) {
    const size_t at = row * columns + i;
    CHECK_THAT(same(got.dense[at], e.dense[i]));
    CHECK_THAT((got.mask[at] != 0) == e.mask[i]);
    CHECK_THAT(((got.mask_bits[row * words + i / 32] >> (i % 32)) & 1u) == (e.mask[i] ? 1u : 0u));
    const bool plain = s.keep == 0 || e.mask[i] || s.rule != TokenRule::kOffset;
    if (s.rule != TokenRule::kNone && plain) {
      const float value = got.fake.empty() ? widened(got.fake_bf16[at]) : got.fake[at];
      CHECK_THAT(same(value, got.fake.empty() ? rounded_to_bf16({e.fake[i]})[0] : e.fake[i]));
    }
  }
  if (s.norm) {
    CHECK_THAT(same(got.factor[row], e.factor));
  }
  if (coded) {
    CHECK_THAT(same(got.scale[row], e.scale));
    check_codes(got, e, s, row);
  }
  if (!e.minimum.empty()) {
    CHECK_THAT(same(got.minimum[row], e.minimum[0]));
  }
}

template <class T>
void check_against(const Floats& x, const std::vector<T>& input, const Setup& s) {
  Floats gain = values(static_cast<size_t>(s.columns), 77);
  for (float& g : gain) {
    g += 1;
  }
  const Results got = run(input, s, gain);
  for (size_t row = 0; row < static_cast<size_t>(s.rows); ++row) {
    const auto begin = x.begin() + static_cast<long>(row) * s.columns;
    check_row(got, expected_row(Floats(begin, begin + s.columns), s, gain), s, row);
  }
}

void check(const Setup& s) {
  const Floats x = values(static_cast<size_t>(s.rows * s.columns), 5);
  check_against(x, x, s);
}

void check_bf16(const Setup& s) {
  const Floats x = rounded_to_bf16(values(static_cast<size_t>(s.rows * s.columns), 6));
  check_against(x, as_bf16(x), s);
}

}  // namespace

SETUN_CUDA_TEST(tokens_absmax) {
  check({.rows = 2, .columns = 320, .rule = TokenRule::kAbsmax, .bits = 8});
  check({.rows = 1, .columns = 77, .rule = TokenRule::kAbsmax, .bits = 8, .code_stride = 80});
  check_bf16({.rows = 1, .columns = 128, .rule = TokenRule::kAbsmax, .bits = 4, .sum_group = 64});
}

SETUN_CUDA_TEST(tokens_absmean) {
  check({.rows = 2, .columns = 256, .rule = TokenRule::kAbsmean, .bits = 4});
  check_bf16({.rows = 1, .columns = 130, .rule = TokenRule::kAbsmean, .bits = 8});
}

SETUN_CUDA_TEST(tokens_e2m1) {
  check({.rows = 2, .columns = 192, .rule = TokenRule::kE2m1, .bits = 4});
  check_bf16({.rows = 1, .columns = 65, .rule = TokenRule::kRoundE2m1});
}

SETUN_CUDA_TEST(tokens_key_value) {
  check({.rows = 2, .columns = 64, .rule = TokenRule::kStep, .bits = 3});
  check({.rows = 2, .columns = 96, .rule = TokenRule::kOffset, .bits = 8});
  check_bf16({.rows = 1, .columns = 96, .rule = TokenRule::kOffset, .bits = 4});
}

SETUN_CUDA_TEST(tokens_norms) {
  check({.rows = 1, .columns = 300, .norm = true, .gain = true});
  check_bf16({.rows = 1, .columns = 200, .norm = true, .centre = true});
}

SETUN_CUDA_TEST(tokens_norm_quantize) {
  check({.rows = 2,
         .columns = 640,
         .norm = true,
         .gain = true,
         .rule = TokenRule::kAbsmax,
         .bits = 8,
         .sum_group = 128});
  check_bf16({.rows = 1,
              .columns = 200,
              .norm = true,
              .gain = true,
              .rule = TokenRule::kAbsmean,
              .bits = 4,
              .code_stride = 208});
}

SETUN_CUDA_TEST(tokens_hadamard) {
  for (const int block : {1, 2, 8, 64, 512}) {
    check({.rows = 1, .columns = 512, .hadamard = block});
  }
  check_bf16({.rows = 1, .columns = 192, .hadamard = 64});
}

// One block of each size, so that every number of rounds at every bit is run.
SETUN_CUDA_TEST(tokens_hadamard_rounds) {
  check({.rows = 1, .columns = 6, .hadamard = 2});
  for (int block = 4; block <= 16384; block *= 2) {
    check({.rows = 1, .columns = block, .hadamard = block});
  }
}

SETUN_CUDA_TEST(tokens_norm_hadamard_quantize) {
  check({.rows = 1,
         .columns = 1024,
         .norm = true,
         .gain = true,
         .hadamard = 1024,
         .rule = TokenRule::kAbsmax,
         .bits = 8});
  check_bf16({.rows = 1,
              .columns = 640,
              .norm = true,
              .hadamard = 128,
              .rule = TokenRule::kAbsmean,
              .bits = 4});
}

SETUN_CUDA_TEST(tokens_top_k) {
  check(
      {.rows = 2, .columns = 200, .keep = 77, .every = 200, .rule = TokenRule::kAbsmax, .bits = 8});
  check({.rows = 1, .columns = 96, .keep = 96, .every = 96, .rule = TokenRule::kE2m1, .bits = 4});
  check_bf16({.rows = 1,
              .columns = 160,
              .hadamard = 32,
              .keep = 1,
              .every = 160,
              .rule = TokenRule::kAbsmean,
              .bits = 4});
}

SETUN_CUDA_TEST(tokens_ties) {
  Setup s{
      .rows = 1, .columns = 256, .keep = 100, .every = 256, .rule = TokenRule::kAbsmax, .bits = 8};
  Floats x(256);
  for (size_t i = 0; i < x.size(); ++i) {
    x[i] = (i % 3 == 0 ? 1.0f : -1.0f) * static_cast<float>(i % 7 == 0);  // 37 equal, the rest zero
  }
  check_against(x, x, s);
  check_against(Floats(256, 1.0f), Floats(256, 1.0f), s);
}

// Magnitudes that differ in their last bits, and many equal ones: every digit of the selection, and
// both of the index.
SETUN_CUDA_TEST(tokens_top_k_digits) {
  Random random(17);
  for (const int columns : {1030, 256}) {
    Floats near(static_cast<size_t>(columns)), equal(near.size());
    for (size_t i = 0; i < near.size(); ++i) {
      near[i] = 1.0f + static_cast<float>(random.integer(0, 999)) * 0x1p-23f;
      equal[i] = static_cast<float>(random.integer(-2, 1));
    }
    for (const int keep : {1, 100, columns / 2, columns - 1}) {
      Setup s{.rows = 1, .columns = columns, .keep = keep, .every = columns};
      s.rule = TokenRule::kAbsmax;
      s.bits = 8;
      check_against(near, near, s);
      check_against(equal, equal, s);
    }
  }
}

// Rows of whole quads that start between two of them.
SETUN_CUDA_TEST(tokens_not_aligned) {
  Setup s{.rows = 2, .columns = 128, .norm = true, .gain = true, .rule = TokenRule::kAbsmax};
  s.bits = 8;
  s.shift = 1;
  check(s);
  s.shift = 2;
  check_bf16(s);
}

SETUN_CUDA_TEST(tokens_n_of_m) {
  check({.rows = 1, .columns = 256, .keep = 2, .every = 4, .rule = TokenRule::kAbsmax, .bits = 8});
  check({.rows = 1, .columns = 96, .keep = 5, .every = 8, .rule = TokenRule::kAbsmax, .bits = 8});
}

SETUN_CUDA_TEST(tokens_zero_huge_not_finite) {
  const float inf = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  Floats x = values(6 * 64, 9);
  std::fill_n(x.begin(), 64, 0.0f);
  x[64 + 1] = inf;
  x[128 + 63] = nan;
  x[192 + 5] = 3e38f;
  x[256 + 7] = -2e18f;
  x[320 + 9] = 1e-42f;
  for (const TokenRule rule :
       {TokenRule::kAbsmax, TokenRule::kAbsmean, TokenRule::kE2m1, TokenRule::kStep}) {
    check_against(x, x, {.rows = 6, .columns = 64, .rule = rule, .bits = 4});
  }
  check_against(x, x,
                {.rows = 6, .columns = 64, .norm = true, .rule = TokenRule::kAbsmax, .bits = 8});
  check_against(
      x, x,
      {.rows = 6, .columns = 64, .keep = 3, .every = 64, .rule = TokenRule::kAbsmax, .bits = 8});
}

// Each square is finite, their sum is not.
SETUN_CUDA_TEST(tokens_norm_sum_overflows) {
  const Floats x(512, 0.95e18f);
  check_against(x, x, {.rows = 1, .columns = 512, .norm = true});
}

SETUN_CUDA_LARGE_TEST(tokens_wide_rows) {
  check({.rows = 1,
         .columns = 2560,
         .norm = true,
         .gain = true,
         .rule = TokenRule::kAbsmax,
         .bits = 8});
  check({.rows = 1, .columns = 16384, .hadamard = 16384, .rule = TokenRule::kAbsmean, .bits = 4});
  check({.rows = 1,
         .columns = 13000,
         .norm = true,
         .centre = true,
         .rule = TokenRule::kAbsmean,
         .bits = 8});
}

SETUN_CUDA_LARGE_TEST(tokens_every_block_size) {
  for (int block = 64; block <= 16384; block *= 2) {
    check({.rows = 1, .columns = 16384, .hadamard = block});
  }
}

SETUN_CUDA_TEST(tokens_mask_gradient) {
  constexpr int64_t kRows = 3, kColumns = 70;
  const Floats dy = values(kRows * kColumns, 12);
  Random random(13);
  std::vector<uint32_t> bits(kRows * 3);
  for (uint32_t& word : bits) {
    word = static_cast<uint32_t>(random.bits());
  }
  const Device<float> device_dy(dy), dx(dy.size());
  const Device<uint32_t> device_bits(bits);
  CHECK_RUNS(apply_mask({device_dy.data(), false, device_bits.data(), kRows, kColumns, dx.data()},
                        nullptr));
  const Floats got = dx.read();
  for (size_t i = 0; i < dy.size(); ++i) {
    const size_t row = i / kColumns, column = i % kColumns;
    const bool kept = ((bits[row * 3 + column / 32] >> (column % 32)) & 1u) != 0;
    CHECK_THAT(same(got[i], kept ? dy[i] : 0.0f));
  }
}

SETUN_CUDA_TEST(tokens_mask_bits) {
  for (const int64_t columns : {int64_t{64}, int64_t{5}, int64_t{70}}) {
    constexpr int64_t kRows = 3;
    const int64_t words = (columns + 31) / 32;
    Random random(14);
    std::vector<uint8_t> keep(static_cast<size_t>(kRows * columns));
    std::vector<uint32_t> wanted(static_cast<size_t>(kRows * words), 0);
    std::vector<uint16_t> dy(keep.size()), kept(keep.size(), 0);
    for (size_t i = 0; i < keep.size(); ++i) {
      keep[i] = static_cast<uint8_t>(random.integer(0, 1));
      dy[i] = static_cast<uint16_t>(random.integer(1, 0xffff));
      kept[i] = keep[i] != 0 ? dy[i] : 0;
      const auto row = static_cast<int64_t>(i) / columns,
                 column = static_cast<int64_t>(i) % columns;
      wanted[static_cast<size_t>(row * words + column / 32)] |= static_cast<uint32_t>(keep[i])
                                                                << (column % 32);
    }
    const Device<uint8_t> device_keep(keep);
    const Device<uint32_t> bits(wanted.size());
    const Device<uint16_t> device_dy(dy), dx(dy.size());
    CHECK_RUNS(pack_mask({device_keep.data(), kRows, columns, bits.data()}, nullptr));
    CHECK_RUNS(
        apply_mask({device_dy.data(), true, bits.data(), kRows, columns, dx.data()}, nullptr));
    CHECK_THAT(bits.read() == wanted);
    CHECK_THAT(dx.read() == kept);
  }
}

}  // namespace setun::cuda::testing
