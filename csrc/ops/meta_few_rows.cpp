// Shapes and types of generation's operators without data: their Meta kernels.
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <vector>

#include "ops/few_rows_checks.h"

namespace setun::ops {
namespace {

at::Tensor empty_result(const at::Tensor& x, const at::Tensor& w, at::ScalarType dtype) {
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = w.size(0);
  return at::empty(shape, x.options().dtype(dtype));
}

at::Tensor add_residual(const at::Tensor& x, const at::Tensor& y) {
  check_add_residual(x, y);
  return at::empty(x.sizes(), x.options());
}

at::Tensor few_rows_linear(const at::Tensor& x, const at::Tensor& weight, at::ScalarType dtype) {
  check_few_rows_linear(x, weight, dtype);
  return empty_result(x, weight, dtype);
}

at::Tensor int8_linear(const at::Tensor& codes, const at::Tensor& scale, const at::Tensor& w_codes,
                       const at::Tensor& w_scale, const at::Tensor& w_row_sums,
                       at::ScalarType dtype) {
  check_int8_linear(codes, scale, w_codes, w_scale, w_row_sums, dtype);
  return empty_result(codes, w_codes, dtype);
}

at::Tensor cached_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            at::Tensor& keys, at::Tensor& values, int64_t length) {
  check_cached_attention(q, k, v, keys, values, length);
  return at::empty({q.size(0), 1, q.size(1) * q.size(3)}, q.options());
}

}  // namespace

TORCH_LIBRARY_IMPL(setun, Meta, m) {
  m.impl("add_residual", add_residual);
  m.impl("few_rows_linear", few_rows_linear);
  m.impl("int8_linear", int8_linear);
  m.impl("cached_attention", cached_attention);
}

}  // namespace setun::ops
