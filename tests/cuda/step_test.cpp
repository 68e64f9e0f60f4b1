// Positions, gated activations and the streams over elements against the CPU's portable kernels,
// bit for bit; packed weights transposed and counted.
#include "step.h"

#include "base/counter_rng.h"
#include "elements.h"
#include "harness.h"
#include "layouts.h"
#include "ops/cpu/row_kernels.h"
#include "ops/cpu/step_kernels.h"
#include "weights.h"

namespace setun::cuda::testing {
namespace {

using Floats = std::vector<float>;
using ops::cpu::Element;
using ops::cpu::InRow;

const ops::cpu::StepKernels& cpu() { return ops::cpu::step_kernels_scalar(); }

size_t sized(int64_t n) { return static_cast<size_t>(n); }

// Rotates [2, 3, 5, dim] as type T: dense, or as the transposed view that projections leave.
template <class T>
void check_rope(int half, bool transposed, float direction) {
  constexpr int64_t kBatch = 2, kHeads = 3, kTime = 5;
  constexpr bool kBf16 = std::is_same_v<T, bf16>;
  const int64_t dim = 2 * half, count = kBatch * kHeads * kTime * dim;
  const Floats wide = rounded_to_bf16(values(sized(count), 51));
  std::vector<T> x;
  if constexpr (kBf16) {
    x = as_bf16(wide);
  } else {
    x = wide;
  }
  const Floats cos = values(sized(kTime * half), 52), sin = values(sized(kTime * half), 53);
  const Device<T> in(x), out(x.size());
  const Device<float> dcos(cos), dsin(sin);
  const int64_t head = transposed ? dim : kTime * dim, time = transposed ? kHeads * dim : dim;
  CHECK_RUNS(
      rope({in.data(), out.data(), kBf16, kBatch, kHeads, kTime, half, kHeads * kTime * dim, head,
            time, kHeads * kTime * dim, head, time, dcos.data(), dsin.data(), direction},
           nullptr));
  std::vector<T> wanted(x.size());
  for (int64_t b = 0; b < kBatch; ++b) {
    for (int64_t t = 0; t < kTime; ++t) {
      const size_t at = sized(b * kHeads * kTime * dim + t * time);
      cpu().rotate({&x[at], kBf16 ? Element::kBf16 : Element::kFp32}, head,
                   {&cos[sized(t * half)], &sin[sized(t * half)], direction, half}, kHeads,
                   &wanted[at], head);
    }
  }
  std::vector<T> got(x.size());
  CHECK_THAT(cudaMemcpy(got.data(), out.data(), out.bytes(), cudaMemcpyDeviceToHost) ==
             cudaSuccess);
  hash_bytes(got.data(), out.bytes());
  CHECK_THAT(std::memcmp(got.data(), wanted.data(), out.bytes()) == 0);
}

template <class T>
std::vector<T> raw(const Device<T>& device) {
  std::vector<T> got(device.bytes() / sizeof(T));
  CHECK_THAT(cudaMemcpy(got.data(), device.data(), device.bytes(), cudaMemcpyDeviceToHost) ==
             cudaSuccess);
  hash_bytes(got.data(), device.bytes());
  return got;
}

template <class T>
bool same_bytes(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

template <class T>
void check_gated(GatedRule rule, int64_t count, const std::vector<T>& gate,
                 const std::vector<T>& up, const std::vector<T>& dy) {
  constexpr Element kType = std::is_same_v<T, bf16> ? Element::kBf16 : Element::kFp32;
  const auto kind = rule == GatedRule::kSilu ? GatedKind::kSilu : GatedKind::kRelu2;
  const Device<T> dgate(gate), dup(up), ddy(dy), y(gate.size()), d_gate(gate.size()),
      d_up(gate.size());
  GatedParams p{};
  p.gate = dgate.data();
  p.up = dup.data();
  p.is_bf16 = kType == Element::kBf16;
  p.rule = rule;
  p.count = count;
  p.y = y.data();
  CHECK_RUNS(gated_activation(p, nullptr));
  p.dy = ddy.data();
  p.d_gate = d_gate.data();
  p.d_up = d_up.data();
  CHECK_RUNS(gated_backward(p, nullptr));
  std::vector<T> out(gate.size()), out_gate(gate.size()), out_up(gate.size());
  cpu().gated(kind, {gate.data(), kType}, {up.data(), kType}, count, out.data());
  cpu().gated_backward(kind, {dy.data(), kType}, {gate.data(), kType}, {up.data(), kType}, count,
                       out_gate.data(), out_up.data());
  CHECK_THAT(same_bytes(raw(y), out));
  CHECK_THAT(same_bytes(raw(d_gate), out_gate));
  CHECK_THAT(same_bytes(raw(d_up), out_up));
}

void check_dequantize(int64_t rows, int64_t columns) {
  Random random(71);
  std::vector<int8_t> codes(sized(rows * columns));
  for (int8_t& c : codes) {
    c = static_cast<int8_t>(random.integer(-128, 127));
  }
  Floats scale(sized(rows));
  for (float& s : scale) {
    s = random.uniform(1, 900);
  }
  const Device<int8_t> dcodes(codes);
  const Device<float> dscale(scale), wide(codes.size());
  const Device<bf16> narrow(codes.size());
  CHECK_RUNS(
      dequantize_rows({dcodes.data(), dscale.data(), rows, columns, wide.data(), false}, nullptr));
  CHECK_RUNS(
      dequantize_rows({dcodes.data(), dscale.data(), rows, columns, narrow.data(), true}, nullptr));
  Floats wanted(codes.size());
  std::vector<bf16> wanted_narrow(codes.size());
  for (int64_t r = 0; r < rows; ++r) {
    const size_t at = sized(r * columns);
    cpu().dequantize(&codes[at], columns, scale[sized(r)], {&wanted[at], Element::kFp32});
    cpu().dequantize(&codes[at], columns, scale[sized(r)], {&wanted_narrow[at], Element::kBf16});
  }
  CHECK_THAT(all_same(wide.read(), wanted));
  CHECK_THAT(same_bytes(raw(narrow), wanted_narrow));
}

void check_int4(int64_t rows, int64_t columns) {
  Random random(72);
  std::vector<int8_t> codes(sized(rows * columns));
  for (int8_t& c : codes) {
    c = static_cast<int8_t>(random.integer(-8, 7));
  }
  const int64_t bytes = (columns + 1) / 2;
  const Device<int8_t> in(codes), back(codes.size());
  const Device<uint8_t> packed(sized(rows * bytes));
  CHECK_RUNS(pack_int4({in.data(), packed.data(), rows, columns}, nullptr));
  CHECK_RUNS(unpack_int4({back.data(), packed.data(), rows, columns}, nullptr));
  std::vector<uint8_t> wanted(sized(rows * bytes));
  for (int64_t r = 0; r < rows; ++r) {
    ops::cpu::row_kernels_scalar().pack_int4(&codes[sized(r * columns)], columns,
                                             &wanted[sized(r * bytes)]);
  }
  CHECK_THAT(packed.read() == wanted);
  CHECK_THAT(back.read() == codes);
}

void check_squares(int64_t count, uint64_t seed) {
  const Floats x = values(sized(count), seed);
  const Device<float> dx(x);
  const Device<double> partial(sized(squares_workspace(count))), total(1);
  CHECK_RUNS(sum_of_squares({dx.data(), count, partial.data(), total.data()}, nullptr));
  double wanted = 0;
  for (int64_t first = 0; first < count; first += 16384) {
    wanted += cpu().square_sum(&x[sized(first)], std::min<int64_t>(16384, count - first));
  }
  CHECK_THAT(total.read()[0] == wanted);
}

void check_packed(int64_t rows, int64_t columns) {
  Random random(73);
  std::vector<int8_t> codes(sized(rows * columns)), turned(codes.size());
  int64_t counts[3] = {};
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      const int code = random.integer(-1, 1);
      ++counts[code + 1];
      codes[sized(r * columns + c)] = turned[sized(c * rows + r)] = static_cast<int8_t>(code);
    }
  }
  const Device<int8_t> in(codes), back(codes.size());
  const Device<uint32_t> packed(sized(ternary_words(rows, tiles_k(columns))));
  const Device<uint32_t> transposed(sized(ternary_words(columns, tiles_k(rows))));
  const Device<float> wide(codes.size());
  const Device<unsigned long long> found(std::vector<unsigned long long>(3, 0));
  CHECK_RUNS(pack_ternary({in.data(), rows, columns, false, packed.data()}, nullptr));
  CHECK_RUNS(transpose_ternary({packed.data(), rows, columns, transposed.data()}, nullptr));
  CHECK_RUNS(unpack_ternary({transposed.data(), columns, rows, nullptr, back.data(), wide.data()},
                            nullptr));
  CHECK_RUNS(count_codes({packed.data(), rows, columns, found.data()}, nullptr));
  const Device<int8_t> in_turned(turned);
  const Device<uint32_t> repacked(transposed.bytes() / sizeof(uint32_t));
  CHECK_RUNS(pack_ternary({in_turned.data(), columns, rows, false, repacked.data()}, nullptr));
  CHECK_THAT(transposed.read() == repacked.read());  // the padding too
  CHECK_THAT(back.read() == turned);
  CHECK_THAT(all_same(wide.read(), Floats(turned.begin(), turned.end())));
  const std::vector<unsigned long long> got = found.read();
  for (size_t i = 0; i < 3; ++i) {
    CHECK_THAT(got[i] == static_cast<unsigned long long>(counts[i]));
  }
}

}  // namespace

SETUN_CUDA_TEST(step_rope) {
  for (const int half : {8, 6, 3}) {  // 6: strides of four allow vectors, the half does not
    check_rope<float>(half, false, 1);
    check_rope<float>(half, true, -1);
    check_rope<bf16>(half, true, 1);
  }
}

SETUN_CUDA_TEST(step_gated) {
  for (const int64_t count : {int64_t{1200}, int64_t{131}}) {
    Floats gate = values(sized(count), 61), up = values(sized(count), 62),
           dy = values(sized(count), 63);
    for (float& g : gate) {
      g *= 30;  // both tails of the exponential
    }
    for (const GatedRule rule : {GatedRule::kSilu, GatedRule::kRelu2}) {
      check_gated<float>(rule, count, gate, up, dy);
      check_gated<bf16>(rule, count, as_bf16(gate), as_bf16(up), as_bf16(dy));
    }
  }
}

SETUN_CUDA_TEST(elements_codes) {
  check_dequantize(5, 72);
  check_dequantize(3, 33);
  check_int4(5, 64);
  check_int4(3, 21);
}

SETUN_CUDA_TEST(elements_int4_words) {
  for (const auto& [rows, columns] : {std::pair(5, 128), {3, 21}, {2, 70}}) {
    Random random(73);
    const int64_t tiles = tiles_k(columns), bytes = (columns + 1) / 2;
    std::vector<uint8_t> packed(sized(rows * bytes), 0);
    std::vector<uint32_t> wanted(sized(int4_words(rows, tiles)), 0);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t k = 0; k < columns; ++k) {
        const auto nibble = static_cast<uint32_t>(random.integer(0, 15));
        packed[sized(r * bytes + k / 2)] |= static_cast<uint8_t>(nibble << (k % 2 * 4));
        wanted[sized(int4_word(r, k, tiles))] |= nibble << int4_shift(k);
      }
    }
    const Device<uint8_t> in(packed);
    const Device<uint32_t> out(wanted.size());
    CHECK_RUNS(int4_words({in.data(), rows, columns, out.data()}, nullptr));
    CHECK_THAT(out.read() == wanted);
  }
}

SETUN_CUDA_TEST(elements_draws) {
  constexpr uint64_t kKey = 0xFEDCBA9876543210ull;
  constexpr int64_t kCount = 700;
  constexpr double kProbability = 0.3;
  const Device<float> uniform(kCount), mask(kCount);
  const auto dropped = static_cast<uint64_t>(std::ceil(std::ldexp(kProbability, 53)));
  CHECK_RUNS(draws({kKey, kCount, 0, 0, uniform.data()}, nullptr));
  CHECK_RUNS(draws({kKey, kCount, 1.5f, dropped, mask.data()}, nullptr));
  const Floats got = uniform.read(), got_mask = mask.read();
  for (uint64_t i = 0; i < kCount; ++i) {
    CHECK_THAT(got[i] == random_uniform_float(kKey, i));
    CHECK_THAT(got_mask[i] == (random_uniform(kKey, i) < kProbability ? 0.0f : 1.5f));
  }
}

SETUN_CUDA_TEST(elements_squares) {
  check_squares(1, 81);
  check_squares(1000, 82);
}

SETUN_CUDA_LARGE_TEST(elements_squares_chunks) { check_squares(16384 * 9 + 37, 83); }

SETUN_CUDA_TEST(weights_transpose_count) {
  check_packed(37, 130);
  check_packed(8, 64);
}

}  // namespace setun::cuda::testing
