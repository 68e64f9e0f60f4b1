// ops::rope: the formula in double, equal bits on every path, and a derivative that undoes it.
#include <ATen/ATen.h>

#include <limits>

#include "ops/step_ops.h"
#include "quant/tensors.h"
#include "support/catch.h"

namespace setun {
namespace {

using test::normal;
using test::on_every_path;
using test::same_bits;

struct Tables {
  at::Tensor cos, sin;
};

Tables tables(int64_t time, int64_t dim) {
  const at::Tensor angle = at::outer(at::arange(time, at::kFloat), normal({dim / 2}, 4));
  return {angle.cos(), angle.sin()};
}

// In the dtype of x.
at::Tensor composite(const at::Tensor& x, const Tables& t) {
  const int64_t half = x.size(3) / 2;
  const at::Tensor a = x.narrow(3, 0, half), b = x.narrow(3, half, half);
  const at::Tensor c = t.cos.to(x.scalar_type()), s = t.sin.to(x.scalar_type());
  return at::cat({a * c - b * s, b * c + a * s}, 3);
}

TEST_CASE("rope is the formula, with equal bits on every path, head width and thread count",
          "[quant]") {
  for (const int64_t dim : {2, 6, 30, 32, 64, 66, 128, 256}) {
    INFO("head width " << dim);
    const at::Tensor x = normal({2, 3, 19, dim}, dim);
    const Tables t = tables(19, dim);
    const at::Tensor exact = composite(x.to(at::kDouble), t);
    force_cpu_path(CpuPath::kScalar);
    const at::Tensor wanted = ops::rope(x, t.cos, t.sin, false);
    // two products and a sum: three roundings of at most the pair's length
    CHECK((wanted.to(at::kDouble) - exact).abs().max().item<double>() <=
          2 * std::numeric_limits<float>::epsilon() * x.abs().max().item<double>());
    on_every_path([&] { CHECK(same_bits(ops::rope(x, t.cos, t.sin, false), wanted)); });
    const at::Tensor low = x.to(at::kBFloat16);
    const at::Tensor low_wanted = ops::rope(low.to(at::kFloat), t.cos, t.sin, true);
    on_every_path([&] {
      CHECK(same_bits(ops::rope(low, t.cos, t.sin, true), low_wanted.to(at::kBFloat16)));
    });
  }
}

TEST_CASE("rope keeps a transposed view's strides and reads any other layout", "[quant]") {
  const Tables t = tables(5, 8);
  const at::Tensor wide = normal({2, 5, 6, 8}, 1);
  const at::Tensor x = wide.transpose(1, 2);  // [B, T, H, D] as attention makes it
  const at::Tensor y = ops::rope(x, t.cos, t.sin, false);
  CHECK(y.strides() == x.strides());
  CHECK(same_bits(y, ops::rope(x.contiguous(), t.cos, t.sin, false)));
  const at::Tensor part = x.narrow(1, 1, 4);  // heads of a joint product: gaps between tokens
  CHECK(same_bits(ops::rope(part, t.cos, t.sin, false), y.narrow(1, 1, 4)));
  const at::Tensor turned = x.transpose(2, 3).contiguous().transpose(2, 3);
  CHECK(same_bits(ops::rope(turned, t.cos, t.sin, false), y));
  const at::Tensor single = wide.narrow(1, 0, 1).transpose(1, 2);
  const Tables first{t.cos.narrow(0, 0, 1), t.sin.narrow(0, 0, 1)};
  CHECK(same_bits(ops::rope(single, first.cos, first.sin, false), y.narrow(2, 0, 1)));
  CHECK(ops::rope(x.narrow(0, 0, 0), t.cos, t.sin, false).size(0) == 0);
}

TEST_CASE("rope's gradient equals the composite's in double; the inverse undoes the rotation",
          "[quant]") {
  const Tables t = tables(7, 16);
  const at::Tensor x = normal({2, 2, 7, 16}, 1).requires_grad_(),
                   upstream = normal({2, 2, 7, 16}, 2);
  ops::rope(x, t.cos, t.sin, false).backward(upstream);
  const at::Tensor exact = x.detach().to(at::kDouble).requires_grad_();
  composite(exact, t).backward(upstream.to(at::kDouble));
  CHECK(at::allclose(x.grad().to(at::kDouble), exact.grad(), 1e-6, 1e-6));
  const at::Tensor there = ops::rope(x.detach(), t.cos, t.sin, false);
  CHECK(at::allclose(ops::rope(there, t.cos, t.sin, true), x.detach(), 1e-5, 1e-5));
}

TEST_CASE("rope: a NaN reaches its pair and nothing else", "[quant]") {
  const Tables t = tables(3, 64);
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    at::Tensor x = normal({1, 2, 3, 64}, 1);
    x[0][1][2][5] = std::nanf("");
    x = x.to(type);
    on_every_path([&] {
      const at::Tensor y = ops::rope(x, t.cos, t.sin, false);
      CHECK(y.isnan().sum().item<int>() == 2);
      CHECK(y[0][1][2][5].isnan().item<bool>());
      CHECK(y[0][1][2][37].isnan().item<bool>());
    });
  }
}

TEST_CASE("rope: Meta and refused arguments", "[quant]") {
  using Catch::Matchers::Contains;
  const Tables t = tables(3, 8);
  const at::Tensor x = normal({1, 2, 3, 8}, 1);
  CHECK(
      test::alike(ops::rope(x.to(at::kMeta), t.cos.to(at::kMeta), t.sin.to(at::kMeta), false), x));
  CHECK_THROWS_WITH(ops::rope(x[0], t.cos, t.sin, false), Contains("expected x [B, H, T, D]"));
  CHECK_THROWS_WITH(ops::rope(x.narrow(3, 0, 7), t.cos, t.sin, false), Contains("an even D"));
  CHECK_THROWS_WITH(ops::rope(x.narrow(2, 0, 2), t.cos, t.sin, false),
                    Contains("expected fp32 tables [T, D / 2] = [2, 4], got Float [3, 4]"));
  CHECK_THROWS_WITH(ops::rope(x.to(at::kHalf), t.cos, t.sin, false),
                    Contains("expected a fp32 or bf16 x, got Half"));
}

}  // namespace
}  // namespace setun
