// Argument checks of generation's operators, shared by their CPU and Meta kernels.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

#include "ops/few_rows_limits.h"
#include "ops/step_checks.h"

namespace setun::ops {

// These operators have no derivative, and a missing gradient must not pass for a zero one.
inline void check_without_gradients(const char* op, std::initializer_list<at::Tensor> tensors) {
  for (const at::Tensor& t : tensors) {
    TORCH_CHECK(!(c10::GradMode::is_enabled() && t.requires_grad()), op,
                ": is for inference and has no gradient, but an argument requires one; call it "
                "under at::NoGradGuard (torch.no_grad()), or detach the tensor");
  }
}

inline void check_result_type(const char* op, at::ScalarType dtype) {
  TORCH_CHECK(dtype == at::kFloat || dtype == at::kBFloat16, op,
              ": dtype must be float32 or bfloat16, got ", dtype);
}

inline void check_add_residual(const at::Tensor& x, const at::Tensor& y) {
  const char* op = "add_residual";
  TORCH_CHECK(x.scalar_type() == at::kFloat && x.dim() >= 1, op,
              ": expected a fp32 x of at least one dimension, got ", x.scalar_type(), " ",
              x.sizes());
  check_elements(op, "y", y);
  TORCH_CHECK(y.sizes() == x.sizes(), op, ": expected y of shape ", x.sizes(), ", got ", y.sizes());
  check_without_gradients(op, {x, y});
}

inline void check_few_rows_linear(const at::Tensor& x, const at::Tensor& weight,
                                  at::ScalarType dtype) {
  const char* op = "few_rows_linear";
  check_elements(op, "x", x);
  check_elements(op, "weight", weight);
  TORCH_CHECK(weight.dim() == 2 && weight.size(1) > 0 && weight.size(1) == x.size(-1), op,
              ": expected a weight [out, ", x.size(-1), "] for x ", x.sizes(), ", got ",
              weight.sizes());
  TORCH_CHECK(x.numel() <= kFewRows * x.size(-1), op, ": expected at most ", kFewRows,
              " rows, got x ", x.sizes(), "; at::linear is faster for more");
  check_result_type(op, dtype);
  check_without_gradients(op, {x, weight});
}

inline void check_int8_linear(const at::Tensor& codes, const at::Tensor& scale,
                              const at::Tensor& w_codes, const at::Tensor& w_scale,
                              const at::Tensor& w_row_sums, at::ScalarType dtype) {
  const char* op = "int8_linear";
  check_absmax_codes(op, codes, scale);
  check_absmax_codes(op, w_codes, w_scale);
  TORCH_CHECK(w_codes.dim() == 2 && w_codes.size(1) > 0 && w_codes.size(1) == codes.size(-1) &&
                  w_codes.size(1) <= kMostInt8Columns,
              op, ": expected w codes [out, ", codes.size(-1), "] with at most ", kMostInt8Columns,
              " columns for codes ", codes.sizes(), ", got ", w_codes.sizes());
  TORCH_CHECK(
      w_row_sums.scalar_type() == at::kInt && w_row_sums.sizes() == w_codes.sizes().slice(0, 1), op,
      ": expected int32 w row_sums [", w_codes.size(0), "], got ", w_row_sums.scalar_type(), " ",
      w_row_sums.sizes());
  check_result_type(op, dtype);
}

inline void check_cached_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                   const at::Tensor& keys, const at::Tensor& values,
                                   int64_t length) {
  const char* op = "cached_attention";
  check_elements(op, "q", q);
  TORCH_CHECK(q.dim() == 4 && q.size(2) == 1 && q.size(3) > 0, op,
              ": expected q [B, heads, 1, head_dim], one token, got ", q.sizes());
  for (const at::Tensor& cache : {keys, values}) {
    TORCH_CHECK(cache.dim() == 4 && cache.scalar_type() == q.scalar_type() &&
                    cache.is_contiguous() && cache.size(0) == q.size(0) && cache.size(1) > 0 &&
                    q.size(1) % cache.size(1) == 0 && cache.size(3) == q.size(3),
                op, ": expected a contiguous cache [", q.size(0), ", kv_heads, capacity, ",
                q.size(3), "] of q's type with kv_heads a divisor of ", q.size(1), ", got ",
                cache.scalar_type(), " ", cache.sizes());
    TORCH_CHECK(length >= 0 && length < cache.size(2), op, ": expected a length of 0 to ",
                cache.size(2) - 1, ", below the cache's capacity, got ", length);
  }
  TORCH_CHECK(keys.sizes() == values.sizes(), op, ": expected values of the keys' shape ",
              keys.sizes(), ", got ", values.sizes());
  for (const at::Tensor& added : {k, v}) {
    TORCH_CHECK(added.scalar_type() == q.scalar_type() && added.dim() == 4 &&
                    added.size(0) == q.size(0) && added.size(1) == keys.size(1) &&
                    added.size(2) == 1 && added.size(3) == q.size(3),
                op, ": expected k and v [", q.size(0), ", ", keys.size(1), ", 1, ", q.size(3),
                "] of q's type, got ", added.scalar_type(), " ", added.sizes());
  }
  check_without_gradients(op, {q, k, v});
}

}  // namespace setun::ops
