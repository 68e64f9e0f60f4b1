// Corners of the small quantizers that the golden vectors do not reach: zeros, values that are not
// finite, statistics, refused arguments.
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <limits>

#include "ops/ops.h"
#include "quant/gaussian.h"
#include "quant/quantizers/b1_activation.h"
#include "quant/quantizers/binary.h"
#include "quant/quantizers/fp4.h"
#include "quant/quantizers/int8.h"
#include "quant/quantizers/quantized_gradients.h"
#include "quant/quantizers/sparsity.h"
#include "quant/tensors.h"
#include "support/catch.h"

namespace setun {
namespace {

using Catch::Matchers::Contains;
using test::normal;

bool all_zero(const at::Tensor& x) { return x.eq(0).all().item<bool>(); }

TEST_CASE("a zero tensor gives zeros, not NaN", "[quant]") {
  const at::Tensor zero = at::zeros({2, 4}), u = ops::counter_uniform(8, 1).view({2, 4});
  CHECK(all_zero(int8_row_stochastic(zero, u).codes));
  CHECK(all_zero(int8_blockwise(zero, 2).value));
  CHECK(all_zero(dorefa_gradient(zero, u.sub(0.5), 4)));
  CHECK(all_zero(lbt_gradient(zero, u, 0.5, 4).value));
  CHECK(all_zero(fp4_bias_form(zero, 2, 1).value));
  CHECK(all_zero(quest_fp4(zero, 0.487).value));
  CHECK(all_zero(dequantize_b1(quantize_b1(zero, 8, 1e-5, false, true))));
  const SparsitySpec half{.kind = SparsityKind::kTopk, .rescale = Rescale::kL2};
  CHECK(sparsity_mask(zero, half).factor.eq(1).all().item<bool>());
}

TEST_CASE("NaN is seen in the values, and codes stay in range", "[quant]") {
  at::Tensor x = normal({2, 4}, 1);
  x[1][2] = std::numeric_limits<float>::quiet_NaN();
  const at::Tensor u = ops::counter_uniform(8, 1).view({2, 4});
  const ScaledCodes rows = int8_row_stochastic(x, u);
  CHECK(all_zero(rows.codes[1]));
  CHECK(rows.value[1].isnan().all().item<bool>());
  CHECK(rows.value[0].isfinite().all().item<bool>());
  CHECK(int8_blockwise(x, 2).value.isnan().any().item<bool>());
  CHECK(dorefa_gradient(x, u, 4)[1].isnan().all().item<bool>());
  CHECK(lbt_gradient(x, u, 0.5, 4).value.isnan().all().item<bool>());
  CHECK(fp4_bias_form(x, 2, 1).value[1].isnan().all().item<bool>());
  CHECK(quest_fp4(x, 0.487).value[1].isnan().all().item<bool>());
  CHECK(bi_attention(x, normal({3, 4}, 2)).scores[1].isnan().all().item<bool>());
  CHECK(dequantize_b1(quantize_b1(x, 8, 1e-5, false, true)).isnan().all().item<bool>());
}

TEST_CASE("stochastic gradients are unbiased", "[quant]") {
  const at::Tensor g = at::tensor({0.31F, -0.12F, 1.0F, 0.0F}).unsqueeze(1).expand({4, 100000}).t();
  const at::Tensor u = ops::counter_uniform(400000, 3).view({100000, 4});
  const at::Tensor lbt = lbt_gradient(g, u, 1.0, 4).value.mean(0);
  const at::Tensor dorefa = dorefa_gradient(g, u.sub(0.5), 4).mean(0);
  for (int64_t i : {0, 1, 3}) {  // the largest is at the end of the range, where DoReFa clips
    CHECK(lbt[i].item<double>() == Approx(g[0][i].item<double>()).margin(0.002));
    CHECK(dorefa[i].item<double>() == Approx(g[0][i].item<double>()).margin(0.002));
  }
}

TEST_CASE("fp4: the printed formula equals the grid", "[quant]") {
  const at::Tensor x = normal({64, 96}, 4);
  const at::Tensor difference = fp4_bias_form(x, 2, 1).value.sub(ops::fake_quantize_fp4(x)).abs();
  // Roundings of fp32 move a value across a tie about once in a million.
  CHECK(difference.gt(1e-5).sum().item<int>() == 0);
}

TEST_CASE("what remains of the features, and what the rest is scaled by", "[quant]") {
  const auto kept = [](double share, int64_t width) {
    return kept_features({.kind = SparsityKind::kTopk, .keep = share}, width);
  };
  CHECK(kept(0.5, 7) == 3);
  CHECK(kept(0.7, 10) == 7);  // 0.7 * 10 is 7 only up to a rounding
  CHECK(kept(0.01, 8) == 1);
  CHECK(kept(1, 8) == 8);
  const at::Tensor x = at::tensor({3.0F, 4.0F, 12.0F}).mul(1e25);
  const SparsitySpec one{.kind = SparsityKind::kTopk, .keep = 0.1, .rescale = Rescale::kL2};
  CHECK(sparsity_mask(x, one).factor.item<double>() == Approx(13.0 / 12.0));
}

TEST_CASE("quantized normal values have the statistics of gaussian.h", "[quant]") {
  const at::Tensor x = normal({256, 4096}, 5);
  const auto share = [](const at::Tensor& codes, int code) {
    return codes.eq(code).to(at::kDouble).mean().item<double>();
  };
  const GaussianFractions expected = gaussian_fractions();
  const at::Tensor a4 = ops::quantize_act_absmean(x, 4, 1, 1e-5).codes;
  CHECK(share(a4, 0) == Approx(expected.a4_zero).margin(0.001));
  CHECK(share(a4, 7) == Approx(expected.a4_code_7).margin(0.0005));
  CHECK(share(a4, -8) == Approx(expected.a4_code_minus_8).margin(0.0005));
  const ops::Codes mean = ops::quantize_absmean(x, 0, 1e-5);
  const GaussianTernary rule = gaussian_ternary(TernaryRule::kAbsmean);
  CHECK(share(mean.codes, 0) == Approx(rule.zeros).margin(0.002));
  CHECK(ops::dequantize_absmean(mean).sub(x).pow(2).mean().item<double>() ==
        Approx(rule.mse).margin(0.002));
}

TEST_CASE("small quantizers refuse arguments that make no sense", "[quant]") {
  const at::Tensor x = normal({4, 6}, 1);
  CHECK_THROWS_WITH(int8_row_stochastic(x, x[0]), Contains("a matrix and draws of its shape"));
  CHECK_THROWS_WITH(int8_blockwise(x, 4), Contains("expected a matrix of 4 x 4 tiles"));
  CHECK_THROWS_WITH(dorefa_gradient(x, x[0], 4), Contains("expected draws of shape [4, 6]"));
  CHECK_THROWS_WITH(lbt_gradient(x, x, 0, 4), Contains("kappa must be in (0, 1], got 0"));
  CHECK_THROWS_WITH(lbt_gradient(x, x, 1, 1), Contains("bits must be 2 to 8, got 1"));
  CHECK_THROWS_WITH(bi_attention(x, x[0]), Contains("expected queries [M, d] and keys [N, d]"));
  CHECK_THROWS_WITH(fp4_bias_form(x, 0, 1), Contains("1 to 5 exponent"));
  CHECK_THROWS_WITH(gaussian_grid(1), Contains("at least 2 levels, got 1"));
  CHECK_THROWS_WITH(gaussian_ternary(TernaryRule::kSeq), Contains("needs a positive alpha"));
}

}  // namespace
}  // namespace setun
