// Generation's operators on CUDA by LibTorch's: the sum of a residual stream and the attention of
// one token. Deliberately absent: the products of few rows and the 8-bit head, which are the
// host's.
#include <ATen/Functions.h>

#include "ops/cuda/launch.h"
#include "ops/cuda/ops_cuda.h"
#include "ops/few_rows_checks.h"
#include "ops/step_ops.h"

namespace setun::ops::cuda {

at::Tensor add_residual(const at::Tensor& x, const at::Tensor& y) {
  check_same_device("add_residual", x, {y});
  check_add_residual(x, y);
  return x + y;
}

at::Tensor cached_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            at::Tensor& keys, at::Tensor& values, int64_t length) {
  check_same_device("cached_attention", q, {k, v, keys, values});
  check_cached_attention(q, k, v, keys, values, length);
  keys.narrow(2, length, 1).copy_(k);
  values.narrow(2, length, 1).copy_(v);
  return causal_attention_by_library(q, keys.narrow(2, 0, length + 1),
                                     values.narrow(2, 0, length + 1), {});
}

}  // namespace setun::ops::cuda
