// The typed call of causal_attention. Where Setun has no kernel (CUDA) LibTorch's
// scaled_dot_product_attention does it, differentiable as well.
#include <ATen/ops/arange.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/zeros.h>

#include <limits>

#include "ops/dispatch.h"
#include "ops/step_checks.h"
#include "ops/step_ops.h"

namespace setun::ops {
namespace {

// [B or 1, 1, T, S]: 0 for the keys first[t] .. S - T + t, -inf for the others.
at::Tensor additive_mask(const at::Tensor& first_BT, int64_t queries, int64_t keys,
                         at::TensorOptions floats) {
  const at::TensorOptions integers = floats.dtype(at::kLong);
  const at::Tensor key = at::arange(keys, integers);
  at::Tensor hidden = key.gt(at::arange(keys - queries, keys, integers).unsqueeze(1)).unsqueeze(0);
  if (first_BT.defined()) {
    hidden = hidden.logical_or(key.lt(first_BT.unsqueeze(2)));
  }
  return at::zeros(hidden.sizes(), floats)
      .masked_fill_(hidden, -std::numeric_limits<double>::infinity())
      .unsqueeze(1);
}

}  // namespace

at::Tensor causal_attention_by_library(const at::Tensor& q, const at::Tensor& k,
                                       const at::Tensor& v, const at::Tensor& first_BT) {
  check_attention_shapes(q, k, v, present(first_BT));
  const int64_t queries = q.size(2), keys = k.size(2);
  std::optional<at::Tensor> mask;
  if (first_BT.defined() || (queries != keys && queries > 1)) {
    mask = additive_mask(first_BT, queries, keys, q.options().requires_grad(false));
  }
  // A single query sees every key, so it needs no mask.
  return at::scaled_dot_product_attention(q, k, v, mask, /*dropout_p=*/0.0,
                                          /*is_causal=*/!mask.has_value() && queries > 1,
                                          /*scale=*/std::nullopt,
                                          /*enable_gqa=*/q.size(1) != k.size(1));
}

at::Tensor causal_attention(const at::Tensor& q_BHTD, const at::Tensor& k_BGSD,
                            const at::Tensor& v_BGSD, const at::Tensor& first_BT) {
  if (!q_BHTD.is_cpu() && !q_BHTD.is_meta()) {
    return causal_attention_by_library(q_BHTD, k_BGSD, v_BGSD, first_BT);
  }
  static const auto op =
      find_operator<at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                               const std::optional<at::Tensor>&)>("setun::causal_attention");
  return op.call(q_BHTD, k_BGSD, v_BGSD, present(first_BT));
}

}  // namespace setun::ops
