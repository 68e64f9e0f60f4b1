// The CUDA glue of the integer path and of the rest of a step, on host tensors with its kernels on
// the emulator, against the CPU operators: bit for bit, but for the cross-entropy's loss.
#include <limits>

#include "base/ignore_target.h"
#include "cuda/emulated_lt_matmul.h"
#include "ops/cuda/launch.h"
#include "ops/ops.h"
#include "ops/step_ops.h"
// After the headers that bring another CHECK.
#include "cuda/glue_support.h"

namespace setun {
namespace {

namespace glue = ops::cuda;
using test::check_same;
using test::identical;
using test::input;
using test::list;
using test::on_cpu;
using test::Tensors;

at::Tensor ternary(int64_t rows, int64_t columns) {
  return input({rows, columns}).mul(1.3).round().clamp(-1, 1).to(at::kChar);
}

// The arguments of ternary_linear but for the packed weight, which each device packs its own way.
struct ProductCase {
  int64_t m, n, k, groups;
  int bits = 8;
  at::ScalarType dtype = at::kFloat;
  bool residual = false, one_scale = false;
};

void check_product(const ProductCase& c) {
  INFO(c.m << " x " << c.n << " x " << c.k << ", groups " << c.groups << ", bits " << c.bits);
  const at::Tensor x = input({c.m, c.k}), codes = ternary(c.n, c.k);
  const at::Tensor w_scale =
      input({c.one_scale ? 1 : c.n, c.one_scale ? 1 : c.groups}).abs().add(0.1);
  ops::RowCodes rows = ops::quantize_absmax_rows(x, c.bits, 1e-5);
  if (c.bits == 4) {
    rows.codes = ops::pack_int4(rows.codes);
  }
  const std::optional<at::Tensor> residual =
      c.residual ? std::optional(input({c.m, c.n}).to(c.dtype)) : std::nullopt;
  const at::Tensor got =
      glue::ternary_linear(rows.codes, rows.scale, rows.row_sums, glue::pack_ternary(codes), c.n,
                           c.k, w_scale, c.dtype, residual);
  const at::Tensor wanted = ops::ternary_linear(rows, ops::pack_ternary(codes), w_scale, c.dtype,
                                                residual.value_or(at::Tensor()));
  CHECK(identical(got, wanted));
}

}  // namespace

TEST_CASE("CUDA glue: products of codes equal the CPU's bit for bit") {
  check_product({.m = 1, .n = 24, .k = 128, .groups = 1, .one_scale = true});
  check_product({.m = 3, .n = 13, .k = 100, .groups = 1, .dtype = at::kBFloat16});
  check_product({.m = 16, .n = 40, .k = 192, .groups = 3, .residual = true});
  check_product({.m = 40, .n = 72, .k = 130, .groups = 1, .residual = true, .one_scale = true});
  check_product(
      {.m = 33, .n = 20, .k = 256, .groups = 2, .dtype = at::kBFloat16, .residual = true});
  check_product({.m = 3, .n = 16, .k = 96, .groups = 1, .bits = 4});
  for (const bool units : {false, true}) {
    ops::cuda::EmulatedDevice::int4_units = units;
    check_product({.m = 20, .n = 16, .k = 96, .groups = 1, .bits = 4});
    check_product({.m = 35, .n = 24, .k = 128, .groups = 2, .bits = 4, .residual = true});
    check_product({.m = 17, .n = 8, .k = 67, .groups = 1, .bits = 4, .dtype = at::kBFloat16});
  }
  ops::cuda::EmulatedDevice::int4_units = false;
  check_product({.m = 5, .n = 9, .k = 96, .groups = 3});  // groups of 32: no whole tile
  check_product({.m = 0, .n = 9, .k = 64, .groups = 1});
}

TEST_CASE("CUDA glue: many rows go to cuBLASLt, with the bits of the other routes") {
  using Library = setun::cuda::testing::EmulatedLibrary;
  const ProductCase cases[] = {
      {.m = 1024, .n = 16, .k = 32, .groups = 1, .one_scale = true},
      {.m = 1030, .n = 32, .k = 16, .groups = 1, .dtype = at::kBFloat16, .residual = true},
      {.m = 1025, .n = 16, .k = 48, .groups = 1, .bits = 4}};
  for (const ProductCase& c : cases) {
    const int before = Library::calls;
    check_product(c);
    CHECK(Library::calls == before + 1);
    Library::refuses = true;
    check_product(c);
    CHECK(Library::calls == before + 1);
    Library::refuses = false;
  }
  check_product({.m = 1024, .n = 17, .k = 32, .groups = 1});  // no shape of the library's
  check_product({.m = 1024, .n = 16, .k = 128, .groups = 2});
  CHECK(Library::calls == 3);
}

TEST_CASE("CUDA glue: packed weights hold the CPU's codes, scales and counts") {
  for (const auto& [rows, columns] : {std::pair<int64_t, int64_t>{50, 96}, {7, 130}, {1, 64}}) {
    const at::Tensor codes = ternary(rows, columns), packed = glue::pack_ternary(codes);
    for (const at::ScalarType type : {at::kChar, at::kFloat, at::kBFloat16}) {
      CHECK(identical(glue::unpack_ternary(packed, rows, columns, type), codes.to(type)));
    }
    const at::Tensor turned = glue::transpose_ternary(packed, rows, columns);
    CHECK(
        identical(glue::unpack_ternary(turned, columns, rows, at::kChar), codes.t().contiguous()));
    CHECK(identical(turned, glue::pack_ternary(codes.t())));
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kHalf}) {
      const at::Tensor w = input({rows, columns}).to(type);
      const int64_t half = columns / 2;
      for (const int64_t group : {int64_t{0}, columns, half}) {
        const auto [words, scale, counts] = glue::quantize_pack_absmean(w, group, 1e-5);
        const ops::PackedWeight wanted = ops::quantize_pack_absmean(w, group, 1e-5);
        const auto [again, counts_again] = glue::quantize_pack_scaled(w, scale);
        CHECK(identical(scale, wanted.scale));
        CHECK(identical(counts, wanted.counts));
        CHECK(identical(counts_again, wanted.counts));
        CHECK(identical(words, again));
        CHECK(identical(glue::unpack_ternary(words, rows, columns, at::kChar),
                        ops::unpack_ternary(wanted.codes, at::kChar)));
      }
    }
  }
  CHECK_THROWS_WITH(glue::unpack_ternary(at::empty({5}, at::kByte), 3, 3, at::kChar),
                    Catch::Contains("expected 128 bytes"));
}

TEST_CASE("CUDA glue: row codes equal the CPU's bit for bit") {
  const at::Tensor gain = input({96}).abs();
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const at::Tensor x = input({2, 5, 96}).to(type);
    check_same(list(glue::quantize_absmax_rows(x, 8, 1e-5)),
               on_cpu("quantize_absmax_rows", {x, int64_t{8}, 1e-5}));
    for (const int64_t block : {int64_t{0}, int64_t{32}}) {
      check_same(list(glue::rms_norm_quantize(x, gain, 1e-6, 8, 1e-5, block)),
                 on_cpu("rms_norm_quantize", {x, gain, 1e-6, int64_t{8}, 1e-5, block}));
    }
    check_same(list(glue::rms_norm_quantize(x, std::nullopt, 1e-6, 4, 1e-5, 0)),
               on_cpu("rms_norm_quantize", {x, c10::IValue(), 1e-6, int64_t{4}, 1e-5, int64_t{0}}));
    for (const bool stochastic : {false, true}) {
      check_same(list(glue::quantize_gradient_rows(x, stochastic, -77)),
                 on_cpu("quantize_gradient_rows", {x, stochastic, int64_t{-77}}));
    }
  }
  for (const int64_t columns : {int64_t{96}, int64_t{33}}) {
    const auto [codes, scale, sums] = glue::quantize_absmax_rows(input({7, columns}), 4, 1e-5);
    const at::Tensor packed = glue::pack_int4(codes);
    check_same({packed}, on_cpu("pack_int4", {codes}));
    check_same({glue::unpack_int4(packed, columns)}, {codes});
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      check_same({glue::dequantize_rows(codes, scale, type)},
                 on_cpu("dequantize_rows", {codes, scale, type}));
    }
  }
}

TEST_CASE("CUDA glue: positions and gated activations equal the CPU's bit for bit") {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const int64_t dim : {int64_t{16}, int64_t{6}}) {
      const at::Tensor cos = input({5, dim / 2}).cos(), sin = input({5, dim / 2}).sin();
      const at::Tensor dense = input({2, 3, 5, dim}).to(type);
      const at::Tensor turned = input({2, 5, 3, dim}).to(type).transpose(1, 2);
      for (const at::Tensor& x : {dense, turned, turned.slice(3, 0, dim)}) {
        for (const bool inverse : {false, true}) {
          const at::Tensor got = glue::rope(x, cos, sin, inverse);
          check_same({got}, on_cpu("rope", {x, cos, sin, inverse}));
        }
      }
      CHECK(glue::rope(turned, cos, sin, false).strides() == turned.strides());
    }
    for (const char* activation : {"silu", "relu2"}) {
      for (const int64_t width : {int64_t{40}, int64_t{33}}) {
        const at::Tensor both = input({3, 2 * width}).mul(20).to(type);
        const at::Tensor gate = both.narrow(1, 0, width), up = both.narrow(1, width, width);
        const at::Tensor grad = input({3, width}).flip(1).to(type);
        check_same({glue::gated_activation(gate, up, activation)},
                   on_cpu("gated_activation", {gate, up, activation}));
        check_same(list(glue::gated_activation_backward(grad, gate, up, activation)),
                   on_cpu("gated_activation_backward", {grad, gate, up, activation}));
      }
    }
  }
}

TEST_CASE("CUDA glue: the cross-entropy's gradient has the CPU's bits, its loss 1e-6") {
  const at::Tensor targets = at::tensor({3, 299, static_cast<int>(kIgnoreTarget), 0}, at::kLong);
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const at::Tensor z = input({4, 300}).mul(5).to(type);
    at::Tensor got = z.clone(), wanted = z.clone();
    const at::Tensor losses = glue::cross_entropy_rows_(got, targets);
    const at::Tensor expected = ops::cross_entropy_rows_(wanted, targets);
    CHECK(identical(got, wanted));
    CHECK((losses - expected).abs().max().item<float>() <= 1e-6F * 20);
    const at::Tensor before = z.clone();
    CHECK(identical(glue::cross_entropy_rows(z, targets), losses));
    CHECK(identical(z, before));  // read only
  }
  const at::Tensor outside = at::tensor({3, 300}, at::kLong);
  const at::Tensor losses = glue::cross_entropy_rows(input({2, 300}), outside);
  CHECK(std::isfinite(losses[0].item<float>()));
  CHECK(std::isnan(losses[1].item<float>()));
}

TEST_CASE("CUDA glue: the optimizer and the draws equal the CPU's bit for bit") {
  for (const int64_t count : {int64_t{1}, int64_t{4099}, int64_t{40000}}) {
    const at::Tensor grad = input({count}), p = input({count}).flip(0), m = input({count}).mul(0.1),
                     v = input({count}).square();
    const ops::AdamWFactors f{.clip = 0.7,
                              .decay = 0.999,
                              .rate = 0.01,
                              .correction = 2.5,
                              .eps = 1e-8,
                              .first = 0.1,
                              .beta2 = 0.95,
                              .second = 0.05};
    const at::Tensor factors = at::empty({ops::AdamWFactors::kCount});
    f.round_to(factors.data_ptr<float>());
    const Tensors here = {p.clone(), m.clone(), v.clone()}, there = {p, m, v};
    glue::adamw_(here[0], grad, here[1], here[2], factors);
    ops::adamw_(there[0], grad, there[1], there[2], factors);
    check_same(here, there);
    // As a weight: the codes and the scale of the new values as well.
    const int64_t rows = count % 5 == 0 ? 5 : 1, columns = count / rows;
    const auto weight = [&](const at::Tensor& t) { return t.view({rows, columns}); };
    const at::Tensor scale = at::empty({1, 1}),
                     packed = at::empty({glue::packed_bytes(rows, columns)}, at::kByte);
    glue::adamw_ternary_(weight(here[0]), weight(grad), weight(here[1]), weight(here[2]), factors,
                         1e-5, scale, packed);
    ops::PackedWeight made = ops::quantize_pack_absmean(weight(there[0]), 0, 1e-5);
    ops::adamw_ternary_(weight(there[0]), weight(grad), weight(there[1]), weight(there[2]), factors,
                        1e-5, made.scale, made.codes.packed);
    check_same(here, there);
    check_same({scale}, {made.scale});
    CHECK(identical(glue::unpack_ternary(packed, rows, columns, at::kChar),
                    ops::unpack_ternary(made.codes, at::kChar)));
    check_same({glue::sum_of_squares(grad)}, {ops::sum_of_squares(grad)});
    check_same({glue::counter_uniform_like(grad, 99)}, {ops::counter_uniform_like(grad, 99)});
    for (const double probability : {0.0, 0.1, 0.5}) {
      check_same({glue::dropout_mask(grad, probability, -3)},
                 {ops::dropout_mask(grad, probability, -3)});
    }
  }
  at::Tensor bad = input({40000});
  bad[39999] = std::numeric_limits<float>::infinity();
  CHECK_FALSE(std::isfinite(glue::sum_of_squares(bad).item<double>()));
  CHECK(glue::sum_of_squares(at::empty({0})).item<double>() == 0);
}

}  // namespace setun
