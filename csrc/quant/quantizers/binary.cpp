#include "quant/quantizers/binary.h"

#include <ATen/core/grad_mode.h>

#include <cmath>
#include <limits>

#include "base/error.h"

namespace setun {
namespace {

at::Tensor sign_or_one(const at::Tensor& x) {
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  return x.ge(0).to(at::kFloat).mul(2).sub(1).masked_fill(x.isnan(), kNaN);
}

}  // namespace

BiAttention bi_attention(const at::Tensor& q, const at::Tensor& k) {
  const c10::NoGradGuard no_grad;
  SETUN_ASSERT(q.dim() == 2 && k.dim() == 2 && q.size(1) == k.size(1),
               "expected queries [M, d] and keys [N, d], got ", q.sizes(), " and ", k.sizes());
  const at::Tensor scores =
      sign_or_one(q).matmul(sign_or_one(k).t()).div(std::sqrt(static_cast<double>(q.size(1))));
  return {scores, scores.gt(0).to(at::kChar)};
}

}  // namespace setun
