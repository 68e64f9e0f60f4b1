#include "quant/quantizers/int8.h"

#include <ATen/core/grad_mode.h>

#include "base/error.h"

namespace setun {
namespace {

// x / scale, 0 where the scale is 0.
at::Tensor in_steps(const at::Tensor& x, const at::Tensor& scale) {
  return x.div(scale).masked_fill(scale.eq(0), 0);
}

// max|x| / 127 over the dimensions named.
at::Tensor step_of(const at::Tensor& x, at::IntArrayRef dims) {
  return x.abs().amax(dims, true).div(127);
}

// Codes as fp32 -> int8; a NaN has no code: 0.
at::Tensor stored(const at::Tensor& code) { return code.nan_to_num(0).to(at::kChar); }

}  // namespace

ScaledCodes int8_row_stochastic(const at::Tensor& w_OI, const at::Tensor& u_OI) {
  const c10::NoGradGuard no_grad;
  SETUN_ASSERT(w_OI.dim() == 2 && u_OI.sizes() == w_OI.sizes(),
               "expected a matrix and draws of its shape, got ", w_OI.sizes(), " and ",
               u_OI.sizes());
  const at::Tensor w = w_OI.to(at::kFloat), scale = step_of(w, {1});
  const at::Tensor code = in_steps(w, scale).add(u_OI).floor().clamp(-128, 127);
  return {stored(code), scale, code.mul(scale)};
}

ScaledCodes int8_blockwise(const at::Tensor& x_in, int64_t block) {
  const c10::NoGradGuard no_grad;
  SETUN_ASSERT(
      x_in.dim() == 2 && block > 0 && x_in.size(0) % block == 0 && x_in.size(1) % block == 0,
      "expected a matrix of ", block, " x ", block, " tiles, got shape ", x_in.sizes());
  const at::Tensor tiles =
      x_in.to(at::kFloat).reshape({x_in.size(0) / block, block, x_in.size(1) / block, block});
  const at::Tensor scale = step_of(tiles, {1, 3});
  const at::Tensor code = in_steps(tiles, scale).round();
  return {stored(code).reshape(x_in.sizes()), scale.squeeze(3).squeeze(1),
          code.mul(scale).reshape(x_in.sizes())};
}

at::Tensor code_product(const at::Tensor& a_MK, const at::Tensor& b_KN) {
  return a_MK.to(at::kDouble).matmul(b_KN.to(at::kDouble));
}

at::Tensor int8_product(const at::Tensor& a_MK, const at::Tensor& b_KN) {
  const c10::NoGradGuard no_grad;
  const at::Tensor a = a_MK.to(at::kFloat), b = b_KN.to(at::kFloat);
  const at::Tensor sa = step_of(a, {1}), sb = step_of(b, {0});
  const at::Tensor sums = code_product(in_steps(a, sa).round(), in_steps(b, sb).round());
  return sums.mul(sa).mul(sb).to(at::kFloat);
}

}  // namespace setun
