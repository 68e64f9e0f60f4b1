// The torch-free kernels against their references, without LibTorch and Catch2, so that the program
// can be built for another architecture and run in an emulator (tests/scripts/test_cross). Every
// path of that architecture is tested. The last line is "N passed, N failed, N skipped".
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

#include "base/counter_rng.h"
#include "base/cpu_features.h"
#include "ops/cpu/few_rows_kernels.h"
#include "ops/cpu/reference.h"
#include "ops/cpu/reference_few_rows.h"
#include "ops/cpu/row_kernels.h"
#include "ops/cpu/ternary_kernels.h"

namespace setun {
namespace {

using namespace ops;  // NOLINT: the program is about nothing else

int passed = 0, failed = 0;

void check(bool ok, const char* what, int64_t a, int64_t b) {
  (ok ? passed : failed) += 1;
  if (!ok) {
    std::printf("FAILED on path %s: %s (%lld, %lld)\n", std::string(enum_name(cpu_path())).c_str(),
                what, static_cast<long long>(a), static_cast<long long>(b));
  }
}

std::vector<int8_t> random_codes(int64_t n, int low, int high, uint64_t key) {
  std::vector<int8_t> codes;
  for (int64_t i = 0; i < n; ++i) {
    const auto span = static_cast<uint64_t>(high - low + 1);
    const auto draw = static_cast<int>(random_bits(key, static_cast<uint64_t>(i)) % span);
    codes.push_back(static_cast<int8_t>(low + draw));
  }
  return codes;
}

std::vector<float> random_row(int64_t n, uint64_t key) {
  std::vector<float> row;
  for (int64_t i = 0; i < n; ++i) {
    row.push_back(random_uniform_float(key, static_cast<uint64_t>(i)) * 8 - 4);
  }
  return row;
}

std::vector<int8_t> transposed(const std::vector<int8_t>& codes, int64_t rows, int64_t columns) {
  std::vector<int8_t> out(codes.size());
  for (int64_t i = 0; i < rows * columns; ++i) {
    out[static_cast<std::size_t>(i % columns * rows + i / columns)] =
        codes[static_cast<std::size_t>(i)];
  }
  return out;
}

void check_tiles(int64_t rows, int64_t columns) {
  const cpu::TernaryKernels& kernels = cpu::ternary_kernels();
  const std::vector<int8_t> codes = random_codes(rows * columns, -1, 1, 5);
  const std::vector<uint8_t> wanted = reference::pack_ternary(codes, rows, columns);
  std::vector<uint8_t> packed(wanted.size()), turned(wanted.size());
  std::vector<int8_t> unpacked(codes.size());
  for (int64_t t = 0; t < cpu::tiles_of(rows); ++t) {
    const int64_t row = t * cpu::kTile, count = std::min(cpu::kTile, rows - row);
    uint8_t* tiles = packed.data() + t * cpu::tile_row_bytes(columns);
    kernels.pack_tiles(codes.data() + row * columns, columns, count, columns, tiles);
    kernels.unpack_tiles(tiles, count, columns, unpacked.data() + row * columns, columns);
    for (int64_t c = 0; c < cpu::tiles_of(columns); ++c) {
      kernels.transpose_tile(tiles + c * cpu::kTileBytes,
                             turned.data() + c * cpu::tile_row_bytes(rows) + t * cpu::kTileBytes);
    }
  }
  check(packed == wanted, "pack_tiles", rows, columns);
  check(unpacked == codes, "unpack_tiles", rows, columns);
  check(turned == reference::pack_ternary(transposed(codes, rows, columns), columns, rows),
        "transpose_tile", rows, columns);
}

// 64 outputs, through packed tiles and through a panel.
void check_product(int64_t rows, int64_t columns, const std::vector<int8_t>& w,
                   const std::vector<int8_t>& a, const char* what) {
  const cpu::TernaryKernels& kernels = cpu::ternary_kernels();
  const std::vector<uint8_t> packed = reference::pack_ternary(w, cpu::kPanelRows, columns);
  const int64_t count = cpu::tiles_of(columns), stride = cpu::tile_row_bytes(columns);
  std::vector<uint8_t> panel(static_cast<std::size_t>(count * cpu::kTile * cpu::kPanelRows));
  kernels.unpack_panel(packed.data(), stride, cpu::kPanelTiles, count, panel.data());
  std::vector<int32_t> sums(static_cast<std::size_t>(rows * cpu::kPanelRows)), few(sums.size());
  const cpu::ActivationRows x = {a.data(), columns, rows};
  kernels.panel_dot(x, panel.data(), count, sums.data());
  bool same = true;
  for (int64_t t = 0; t < cpu::kPanelTiles; ++t) {
    kernels.tile_dot(x, packed.data() + t * stride, count, few.data());
    for (int64_t m = 0; m < rows; ++m) {
      for (int64_t o = 0; o < cpu::kTile; ++o) {
        int64_t wanted = 0;
        const int64_t output = t * cpu::kTile + o;
        for (int64_t k = 0; k < columns; ++k) {
          wanted += (w[static_cast<std::size_t>(output * columns + k)] + 1) *
                    a[static_cast<std::size_t>(m * columns + k)];
        }
        same = same && few[static_cast<std::size_t>(m * cpu::kTile + o)] == wanted &&
               sums[static_cast<std::size_t>(m * cpu::kPanelRows + output)] == wanted;
      }
    }
  }
  check(same, what, rows, columns);
}

void check_rows(int64_t k) {
  const cpu::RowKernels& kernels = cpu::row_kernels();
  const std::vector<float> x = random_row(k, 7);
  const reference::Row wanted = reference::quantize_absmax(x, 8, 1e-5);
  std::vector<int8_t> codes(x.size());
  const float s = 127.0F / kernels.abs_max(x.data(), k);
  int32_t total = 0;
  for (const int8_t code : wanted.codes) {
    total += code;
  }
  check(s == wanted.scale, "abs_max", k, 0);
  check(kernels.encode_sum(x.data(), k, s, -128, 127, codes.data()) == total, "encode_sum", k, 0);
  check(codes == wanted.codes, "codes of encode_sum", k, 0);
  std::vector<float> u;
  for (int64_t i = 0; i < k; ++i) {
    u.push_back(random_uniform_float(3, static_cast<uint64_t>(i)));
  }
  kernels.encode_random(x.data(), k, s, -128, 127, 3, 0, codes.data());
  check(codes == reference::quantize_gradient(x, u).codes, "encode_random", k, 0);
  check(kernels.abs_sum(x.data(), k) / static_cast<float>(k) ==
            reference::quantize_absmean(x, 1e-5).scale,
        "abs_sum", k, 0);
  const std::vector<int8_t> small = random_codes(k, -8, 7, 9);
  std::vector<uint8_t> pairs(static_cast<std::size_t>((k + 1) / 2));
  kernels.pack_int4(small.data(), k, pairs.data());
  kernels.unpack_int4(pairs.data(), k, codes.data());
  check(codes == small, "pack_int4, unpack_int4", k, 0);
}

void check_hadamard(int64_t block) {
  const std::vector<float> x = random_row(block, 11), wanted = reference::hadamard(x);
  std::vector<float> y(x.size());
  cpu::row_kernels().hadamard(x.data(), block, block, y.data());
  check(std::memcmp(y.data(), wanted.data(), y.size() * sizeof(float)) == 0, "hadamard", block, 0);
}

std::vector<uint16_t> bf16_bits(std::vector<float>& values) {
  std::vector<uint16_t> bits;
  for (float& v : values) {
    const uint32_t upper = std::bit_cast<uint32_t>(v) & 0xFFFF0000U;
    v = std::bit_cast<float>(upper);
    bits.push_back(static_cast<uint16_t>(upper >> 16));
  }
  return bits;
}

void check_few_rows(int64_t rows, int64_t columns) {
  const cpu::FewRowsKernels& kernels = cpu::few_rows_kernels();
  constexpr int64_t kOutputs = 11;
  const std::vector<float> x = random_row(rows * columns, 21);
  std::vector<float> w = random_row(kOutputs * columns, 22);
  const std::vector<uint16_t> bits = bf16_bits(w);
  const int64_t stride = cpu::padded(columns, cpu::kDotBlock);
  for (const cpu::Element type : {cpu::Element::kFp32, cpu::Element::kBf16}) {
    const bool narrow = type == cpu::Element::kBf16;
    std::vector<float> staged(static_cast<std::size_t>(rows * stride)),
        y(static_cast<std::size_t>(rows * kOutputs));
    for (int64_t r = 0; r < rows; ++r) {
      kernels.stage({x.data() + r * columns, cpu::Element::kFp32}, columns, type,
                    staged.data() + r * stride);
    }
    const void* matrix = narrow ? static_cast<const void*>(bits.data()) : w.data();
    kernels.dot(staged.data(), rows, {{matrix, type}, kOutputs, columns}, columns, y.data(),
                kOutputs);
    check(y == reference::few_rows_linear({x, w, rows, kOutputs, columns, narrow}), "few rows",
          rows, columns);
  }
}

void check_codes(int64_t columns, int low, int high) {
  const cpu::FewRowsKernels& kernels = cpu::few_rows_kernels();
  constexpr int64_t kOutputs = 7;
  const std::vector<int8_t> a = random_codes(columns, low, high, 31),
                            w = random_codes(kOutputs * columns, low, high, 32);
  std::vector<int32_t> row_sums, wanted, sums(kOutputs);
  for (int64_t o = 0; o < kOutputs; ++o) {
    int32_t row_sum = 0, sum = 0;
    for (int64_t c = 0; c < columns; ++c) {
      const int32_t code = w[static_cast<std::size_t>(o * columns + c)];
      row_sum += code;
      sum += a[static_cast<std::size_t>(c)] * code;
    }
    row_sums.push_back(row_sum);
    wanted.push_back(sum);
  }
  std::vector<int8_t> staged(static_cast<std::size_t>(cpu::padded(columns, cpu::kCodeBlock)));
  kernels.stage_codes(a.data(), columns, staged.data());
  kernels.dot_codes(staged.data(), w.data(), kOutputs, columns, row_sums.data(), sums.data());
  check(sums == wanted, "dot_codes", columns, low);
}

// One query over `count` positions, against the formula in double.
void check_attention(int64_t count, int64_t width) {
  const cpu::FewRowsKernels& kernels = cpu::few_rows_kernels();
  const std::vector<float> q = random_row(width, 41), keys = random_row(count * width, 42),
                           values = random_row(count * width, 43);
  std::vector<float> staged(static_cast<std::size_t>(cpu::padded(width, cpu::kDotBlock))),
      scores(static_cast<std::size_t>(count)), out(static_cast<std::size_t>(width));
  kernels.stage({q.data(), cpu::Element::kFp32}, width, cpu::Element::kFp32, staged.data());
  kernels.dot(staged.data(), 1, {{keys.data(), cpu::Element::kFp32}, count, width}, width,
              scores.data(), count);
  const float total =
      kernels.softmax(scores.data(), count, 1.0F / std::sqrt(static_cast<float>(width)));
  kernels.mix(scores.data(), {{values.data(), cpu::Element::kFp32}, count, width}, width, total,
              {out.data(), cpu::Element::kFp32});
  const std::vector<double> wanted = reference::attend(
      {q.begin(), q.end()}, {keys.begin(), keys.end()}, {values.begin(), values.end()}, count);
  bool near = true;
  for (std::size_t d = 0; d < out.size(); ++d) {
    near = near && std::abs(out[d] - wanted[d]) < 2e-5;  // scores of order 20, each 2^-22 off
  }
  check(near, "softmax, mix", count, width);
}

void check_path() {
  for (const int64_t rows : {1, 15, 16, 33}) {
    for (const int64_t columns : {1, 16, 63, 64, 100, 272}) {
      check_tiles(rows, columns);
    }
  }
  for (const int64_t rows : {1, 3, 4, 7, 16, 26}) {
    for (const int64_t columns : {16, 64, 208, 1040}) {
      check_product(rows, columns, random_codes(cpu::kPanelRows * columns, -1, 1, 1),
                    random_codes(rows * columns, -128, 127, 2), "random product");
    }
  }
  for (const int activation : {127, -128}) {
    const int64_t columns = 32768;
    const std::vector<int8_t> w(static_cast<std::size_t>(cpu::kPanelRows * columns), 1);
    const std::vector<int8_t> a(static_cast<std::size_t>(2 * columns),
                                static_cast<int8_t>(activation));
    check_product(2, columns, w, a, "worst case");
  }
  for (const int64_t k : {1, 31, 32, 100, 4096}) {
    check_rows(k);
  }
  for (const int64_t columns : {1, 31, 64, 100, 272}) {
    for (const int64_t rows : {1, 2, 5, 16}) {
      check_few_rows(rows, columns);
    }
    check_codes(columns, -128, 127);
    check_codes(columns, -128, -128);
  }
  for (const int64_t count : {1, 40}) {
    check_attention(count, 64);
    check_attention(count, 40);
  }
  for (int64_t block = 1; block <= 4096; block *= 2) {
    check_hadamard(block);
  }
}

}  // namespace
}  // namespace setun

int main() {
  for (const auto& [path, name] : setun::EnumNames<setun::CpuPath>::table) {
    if (setun::cpu_supports(path)) {
      std::printf("path %s\n", std::string(name).c_str());
      setun::force_cpu_path(path);
      setun::check_path();
    }
  }
  std::printf("%d passed, %d failed, 0 skipped\n", setun::passed, setun::failed);
  return setun::failed == 0 ? 0 : 1;
}
