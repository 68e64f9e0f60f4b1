// RoPE (2104.09864 eq. 34) with half-split pairing: (a, b) = (x_i, x_{i + d/2}) -> (a cos - b sin,
// b cos + a sin). The rotation is orthogonal, so its derivative is the rotation by the negative
// angle and nothing but the tables is kept for it.
#include "nn/rope.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/sin.h>
#include <torch/csrc/autograd/custom_function.h>

#include "base/error.h"

namespace setun {
namespace {

at::Tensor rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin,
                  double direction) {
  const at::Tensor in = x.to(at::kFloat);
  const int64_t half = in.size(-1) / 2;
  const at::Tensor a = in.narrow(-1, 0, half), b = in.narrow(-1, half, half);
  at::Tensor out =
      at::empty_like(in);  // keeps the strides: attention reads a transposed view without a copy
  at::Tensor first = out.narrow(-1, 0, half), second = out.narrow(-1, half, half);
  at::mul_out(first, a, cos).addcmul_(b, sin, -direction);
  at::mul_out(second, b, cos).addcmul_(a, sin, direction);
  return out.to(x.scalar_type());
}

struct Rotate : torch::autograd::Function<Rotate> {
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& x,
                            const at::Tensor& cos, const at::Tensor& sin) {
    ctx->save_for_backward({cos, sin});
    return rotate(x, cos, sin, 1);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list upstream) {
    const auto saved = ctx->get_saved_variables();
    return {rotate(upstream[0], saved[0], saved[1], -1), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

Rope make_rope(int64_t first, int64_t count, int64_t head_dim, double base) {
  SETUN_ASSERT(head_dim % 2 == 0, "head_dim ", head_dim);
  const auto options =
      at::TensorOptions().dtype(at::kDouble);  // angles reach max_context: fp32 would blur them
  const at::Tensor exponents = at::arange(0, head_dim, 2, options).div_(-head_dim);
  const at::Tensor positions = at::arange(first, first + count, options);
  const at::Tensor angles = at::outer(positions, at::pow(base, exponents));
  return {at::cos(angles).to(at::kFloat), at::sin(angles).to(at::kFloat)};
}

at::Tensor apply_rope(const at::Tensor& x_BHTD, const Rope& rope) {
  SETUN_ASSERT(
      x_BHTD.size(-1) == 2 * rope.cos_TD.size(-1) && x_BHTD.size(-2) == rope.cos_TD.size(0),
      "rope tables ", rope.cos_TD.sizes(), " do not fit ", x_BHTD.sizes());
  return Rotate::apply(x_BHTD, rope.cos_TD, rope.sin_TD);
}

}  // namespace setun
