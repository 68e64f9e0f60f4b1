// The CUDA operators' glue, run on host tensors with its kernels on the emulator, against the CPU
// operators: every operator, several types, layouts and shapes, bit for bit.
#include <functional>
#include <vector>

#include "cuda/glue_support.h"
#include "ops/ops.h"

namespace setun {
namespace {

namespace glue = ops::cuda;
using test::identical;
using test::input;
using test::list;
using test::on_cpu;
using test::Tensors;

struct Operator {
  const char* name;
  std::function<Tensors(const at::Tensor&)> cuda;
  std::function<c10::Stack(const at::Tensor&)> arguments;
};

std::vector<Operator> row_operators() {
  const auto bits_eps = [](int64_t bits) {
    return [bits](const at::Tensor& x) { return c10::Stack{x, bits, 1e-5}; };
  };
  const auto absmean = [](const at::Tensor& x) { return c10::Stack{x, int64_t{4}, 2.5, 1e-5}; };
  const auto alone = [](const at::Tensor& x) { return c10::Stack{x}; };
  using T = const at::Tensor&;
  return {
      {"quantize_absmax", [](T x) { return list(glue::quantize_absmax(x, 8, 1e-5)); }, bits_eps(8)},
      {"fake_quantize_absmax", [](T x) { return Tensors{glue::fake_quantize_absmax(x, 8, 1e-5)}; },
       bits_eps(8)},
      {"quantize_act_absmean",
       [](T x) { return list(glue::quantize_act_absmean(x, 4, 2.5, 1e-5)); }, absmean},
      {"fake_quantize_act_absmean",
       [](T x) { return Tensors{glue::fake_quantize_act_absmean(x, 4, 2.5, 1e-5)}; }, absmean},
      {"quantize_fp4", [](T x) { return list(glue::quantize_fp4(x)); }, alone},
      {"fake_quantize_fp4", [](T x) { return Tensors{glue::fake_quantize_fp4(x)}; }, alone},
      {"round_e2m1", [](T x) { return Tensors{glue::round_e2m1(x)}; }, alone},
      {"quantize_kv", [](T x) { return list(glue::quantize_kv(x, 3, 1e-5)); }, bits_eps(3)},
      {"fake_quantize_kv", [](T x) { return Tensors{glue::fake_quantize_kv(x, 3, 1e-5)}; },
       bits_eps(3)},
      {"quantize_kv_asymmetric", [](T x) { return list(glue::quantize_kv_asymmetric(x, 8, 1e-5)); },
       bits_eps(8)},
      {"fake_quantize_kv_asymmetric",
       [](T x) { return Tensors{glue::fake_quantize_kv_asymmetric(x, 4, 1e-5)}; }, bits_eps(4)},
      {"hadamard", [](T x) { return Tensors{glue::hadamard(x, 16)}; },
       [](T x) {
         return c10::Stack{x, int64_t{16}};
       }},
      {"topk_mask", [](T x) { return Tensors{glue::topk_mask(x, 13)}; },
       [](T x) {
         return c10::Stack{x, int64_t{13}};
       }},
      {"nm_mask", [](T x) { return Tensors{glue::nm_mask(x, 2, 4)}; },
       [](T x) {
         return c10::Stack{x, int64_t{2}, int64_t{4}};
       }},
      {"rms_norm_forward", [](T x) { return list(glue::rms_norm_forward(x, std::nullopt, 1e-6)); },
       [](T x) {
         return c10::Stack{x, c10::IValue(), 1e-6};
       }},
      {"layer_norm_forward", [](T x) { return list(glue::layer_norm_forward(x, 1e-6)); },
       [](T x) {
         return c10::Stack{x, 1e-6};
       }},
  };
}

std::vector<Operator> weight_operators(int64_t group) {
  const auto with_eps = [group](const at::Tensor& w) { return c10::Stack{w, group, 1e-5}; };
  using T = const at::Tensor&;
  const auto draws = [](T w) {
    return at::arange(w.numel(), at::kFloat).remainder(7).div(7).view(w.sizes());
  };
  return {
      {"quantize_absmean", [=](T w) { return list(glue::quantize_absmean(w, group, 1e-5)); },
       with_eps},
      {"quantize_absmedian", [=](T w) { return list(glue::quantize_absmedian(w, group, 1e-5)); },
       with_eps},
      {"quantize_binary", [=](T w) { return list(glue::quantize_binary(w, group)); },
       [group](T w) {
         return c10::Stack{w, group};
       }},
      {"quantize_absmean_stochastic",
       [=](T w) { return list(glue::quantize_absmean_stochastic(w, draws(w), group, 1e-5)); },
       [=](T w) {
         return c10::Stack{w, draws(w), group, 1e-5};
       }},
  };
}

void check(const Operator& op, const at::Tensor& x) {
  const Tensors got = op.cuda(x), wanted = on_cpu(op.name, op.arguments(x));
  INFO(op.name << " on " << x.sizes() << " " << x.scalar_type());
  REQUIRE(got.size() == wanted.size());
  for (size_t i = 0; i < got.size(); ++i) {
    CHECK(identical(got[i], wanted[i]));
  }
}

}  // namespace

TEST_CASE("CUDA glue: operators of rows equal the CPU's bit for bit") {
  for (const Operator& op : row_operators()) {
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kHalf}) {
      check(op, input({2, 3, 80}).to(type));
    }
    check(op, input({80, 3}).t());
    check(op, input({0, 80}));
    at::Tensor bad = input({3, 80});
    bad[1][7] = std::numeric_limits<float>::infinity();
    bad[2].zero_();
    check(op, bad);
  }
}

TEST_CASE("CUDA glue: masks of bits equal the CPU's, and keep the same elements") {
  for (const int64_t columns : {int64_t{64}, int64_t{45}}) {
    const at::Tensor x = input({2, 3, columns}), keep = input({2, 3, columns}).flip(0).gt(0);
    const at::Tensor bits = glue::pack_mask(keep);
    test::check_same({bits, glue::pack_mask(keep.transpose(0, 1))},
                     {ops::pack_mask(keep), ops::pack_mask(keep.transpose(0, 1))});
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      test::check_same({glue::apply_mask(x.to(type), bits)}, {ops::apply_mask(x.to(type), bits)});
    }
  }
  CHECK(glue::pack_mask(at::empty({0, 40}, at::kBool)).numel() == 0);
}

TEST_CASE("CUDA glue: weight operators equal the CPU's bit for bit") {
  for (const int64_t group : {int64_t{0}, int64_t{32}, int64_t{96}}) {
    for (const Operator& op : weight_operators(group)) {
      for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kHalf}) {
        check(op, input({50, 96}).to(type));
      }
      check(op, input({96, 5}).t());
      at::Tensor bad = input({4, 96});
      bad[3][95] = std::numeric_limits<float>::quiet_NaN();
      check(op, bad);
    }
  }
}

TEST_CASE("CUDA glue: one absmax scale for a tensor wider than a block's memory") {
  for (const char* name : {"quantize_absmax", "fake_quantize_absmax"}) {
    for (const Operator& op : row_operators()) {
      if (std::string(op.name) == name) {
        check(op, input({1, 60000}));
        at::Tensor bad = input({2, 50000});
        bad[0][49999] = std::numeric_limits<float>::quiet_NaN();
        check(op, bad);
      }
    }
  }
  CHECK_THROWS_WITH(glue::quantize_fp4(input({1, 60000})), Catch::Contains("at most 49152"));
}

TEST_CASE("CUDA glue: norm derivatives and dequantizers equal the CPU's bit for bit") {
  const at::Tensor x = input({70, 48}), grad = input({70, 48}).flip(0), gain = input({48});
  const at::Tensor factor = x.pow(2).mean(-1).rsqrt();
  const auto same = test::check_same;
  same(list(glue::rms_norm_backward(grad, x, gain, factor)),
       on_cpu("rms_norm_backward", {grad, x, gain, factor}));
  same(list(glue::rms_norm_backward(grad, x, std::nullopt, factor)),
       on_cpu("rms_norm_backward", {grad, x, c10::IValue(), factor}));
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    same({glue::layer_norm_backward(grad, x, factor, type)},
         on_cpu("layer_norm_backward", {grad, x, factor, type}));
  }
  const auto [codes, scale] = glue::quantize_absmax(x, 8, 1e-5);
  same({glue::dequantize_absmax(codes, scale)}, on_cpu("dequantize_absmax", {codes, scale}));
  const auto [ternary, a] = glue::quantize_absmean(x, 16, 1e-5);
  same({glue::dequantize_absmean(ternary, a)}, on_cpu("dequantize_absmean", {ternary, a}));
}

TEST_CASE("CUDA glue: wrong arguments are named as on the CPU") {
  const at::Tensor x = input({4, 80});
  CHECK_THROWS_WITH(glue::quantize_absmax(x, 9, 1e-5), Catch::Contains("bits must be 2 to 8"));
  CHECK_THROWS_WITH(glue::hadamard(x, 12), Catch::Contains("power of two"));
  CHECK_THROWS_WITH(glue::quantize_absmean(x, 7, 1e-5), Catch::Contains("does not divide"));
}

}  // namespace setun
