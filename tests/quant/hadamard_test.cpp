// The Hadamard transform: its reference's bits on every path, the matrix's properties, its
// gradient.
#include <ATen/ops/empty.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/autograd.h>

#include <bit>
#include <limits>

#include "ops/cpu/reference.h"
#include "ops/ops.h"
#include "quant/tensors.h"
#include "support/catch.h"

namespace setun {
namespace {

using test::nasty_rows;
using test::normal;
using test::on_every_path;
using test::row_of;
using test::same_bits;

// The matrix from its definition, in double: (-1)^(number of ones in i AND j) / sqrt(order).
at::Tensor matrix(int64_t order) {
  at::Tensor h = at::empty({order, order}, at::kDouble);
  auto* out = h.data_ptr<double>();
  for (int64_t i = 0; i < order; ++i) {
    for (int64_t j = 0; j < order; ++j) {
      const int sign = std::popcount(static_cast<uint64_t>(i & j)) % 2 == 0 ? 1 : -1;
      out[i * order + j] = sign / std::sqrt(static_cast<double>(order));
    }
  }
  return h;
}

void check_blocks(const at::Tensor& x, int64_t block) {
  const at::Tensor y = ops::hadamard(x, block);
  const at::Tensor rows = x.reshape({-1, block}), got = y.reshape({-1, block}).contiguous();
  for (int64_t row = 0; row < rows.size(0); ++row) {
    const std::vector<float> wanted = ops::reference::hadamard(row_of(rows, row));
    CHECK(std::memcmp(wanted.data(), got[row].const_data_ptr<float>(),
                      wanted.size() * sizeof(float)) == 0);
  }
}

TEST_CASE("hadamard equals the reference bit for bit on every path, order and thread count",
          "[quant]") {
  for (int64_t block = 1; block <= 16384; block *= 2) {
    INFO("block " << block);
    const at::Tensor one = nasty_rows(block), three = nasty_rows(3 * block);
    on_every_path([&] {
      check_blocks(one, block);
      check_blocks(three, block);
    });
  }
  check_blocks(normal({3, 5, 7}, 1), 1);
  check_blocks(normal({3, 5, 6}, 1), 2);  // 90 elements: the last register is not full
}

TEST_CASE("hadamard is the matrix of its definition", "[quant]") {
  for (const int64_t block : {1, 2, 4, 8, 16, 64, 256, 1024}) {
    const at::Tensor x = normal({4, block}, 1);
    const at::Tensor exact = x.to(at::kDouble).matmul(matrix(block));
    const at::Tensor error = ops::hadamard(x, block).to(at::kDouble).sub(exact).abs();
    // a rounding of half an ulp of the partial sum in each of log2(block) rounds, and two at the
    // end
    const double rounds = std::log2(static_cast<double>(block)) + 2;
    const double bound = rounds * std::numeric_limits<float>::epsilon() / 2 *
                         x.to(at::kDouble).norm(2, -1).max().item<double>();
    CHECK(error.max().item<double>() <= bound);
  }
}

TEST_CASE("hadamard is orthogonal and its own inverse; exact for small integers", "[quant]") {
  for (const int64_t block : {4, 64, 1024}) {  // 1 / sqrt(block) is exact
    const at::Tensor h = ops::hadamard(at::eye(block), block);
    CHECK(same_bits(h, h.t().contiguous()));
    CHECK(at::equal(h.matmul(h.t()), at::eye(block)));
    const at::Tensor x = normal({8, block}, 2).mul(100).round();
    CHECK(at::equal(ops::hadamard(ops::hadamard(x, block), block), x));
  }
}

TEST_CASE("hadamard: any layout and type, NaN reaches its whole block and no other", "[quant]") {
  const at::Tensor x = normal({6, 10, 64}, 3);
  const at::Tensor view = x.transpose(0, 2).contiguous().transpose(0, 2);
  REQUIRE_FALSE(view.is_contiguous());
  CHECK(same_bits(ops::hadamard(view, 16), ops::hadamard(x, 16)));
  for (const at::ScalarType type : {at::kBFloat16, at::kHalf}) {
    const at::Tensor low = x.to(type);
    CHECK(same_bits(ops::hadamard(low, 64), ops::hadamard(low.to(at::kFloat), 64)));
  }
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    at::Tensor y = normal({1, 128}, 4);
    y[0][70] = bad;
    on_every_path([&] {
      const at::Tensor out = ops::hadamard(y, 64)[0];
      CHECK(out.narrow(0, 0, 64).isfinite().all().item<bool>());
      CHECK_FALSE(out.narrow(0, 64, 64).isfinite().any().item<bool>());
    });
  }
}

TEST_CASE("hadamard's gradient is the finite difference, and can be differentiated again",
          "[quant]") {
  for (const int64_t block : {1, 8, 32}) {
    const at::Tensor x = normal({3, 32}, 5).requires_grad_(), upstream = normal({3, 32}, 6);
    const at::Tensor y = ops::hadamard(x, block);
    CHECK(y.requires_grad());
    const at::Tensor grad = torch::autograd::grad({y}, {x}, {upstream})[0];
    // The function is linear, so a difference of any step is its derivative: here in double.
    const at::Tensor h = matrix(block), up = upstream.to(at::kDouble).view({-1, block});
    for (int64_t i = 0; i < block; ++i) {
      at::Tensor step = at::zeros({1, block}, at::kDouble);
      step[0][i] = 1e-3;
      const at::Tensor base = x.detach().to(at::kDouble).view({-1, block});
      const at::Tensor difference =
          (base.add(step).matmul(h) - base.sub(step).matmul(h)).mul(up).sum(-1).div(2e-3);
      const at::Tensor got = grad.view({-1, block}).select(1, i).to(at::kDouble);
      CHECK(difference.sub(got).abs().max().item<double>() <= 1e-5);
    }
  }
  const at::Tensor x = normal({1, 16}, 7).requires_grad_();
  const at::Tensor y = ops::hadamard(x, 16);
  const at::Tensor grad = torch::autograd::grad({y.pow(2).sum()}, {x}, {}, true, true)[0];
  const at::Tensor second = torch::autograd::grad({grad.sum()}, {x})[0];
  CHECK(second.sub(2).abs().max().item<double>() <= 1e-5);  // the Hessian of |Hx|^2 is 2 I
}

TEST_CASE("hadamard: the gradient has x's type; Meta; refused arguments", "[quant]") {
  using Catch::Matchers::Contains;
  const at::Tensor low = normal({2, 12}, 8).to(at::kBFloat16).requires_grad_();
  const at::Tensor y = ops::hadamard(low, 4);
  CHECK(y.scalar_type() == at::kFloat);
  y.sum().backward();
  CHECK(low.grad().scalar_type() == at::kBFloat16);
  CHECK(test::alike(ops::hadamard(low.detach().to(at::kMeta), 4), y));
  CHECK_THROWS_WITH(ops::hadamard(low, 3), Contains("block must be a power of two, got 3"));
  CHECK_THROWS_WITH(ops::hadamard(low, 0), Contains("block must be a power of two, got 0"));
  CHECK_THROWS_WITH(ops::hadamard(low, 8),
                    Contains("block 8 does not divide the last dimension of 12; its largest power "
                             "of two is 4"));
}

}  // namespace
}  // namespace setun
