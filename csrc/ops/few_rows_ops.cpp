#include "ops/few_rows_ops.h"

#include "ops/dispatch.h"

namespace setun::ops {

at::Tensor add_residual(const at::Tensor& x, const at::Tensor& y) {
  static const auto op =
      find_operator<at::Tensor(const at::Tensor&, const at::Tensor&)>("setun::add_residual");
  return op.call(x, y);
}

at::Tensor few_rows_linear(const at::Tensor& x, const at::Tensor& w_OK, at::ScalarType dtype) {
  static const auto op =
      find_operator<at::Tensor(const at::Tensor&, const at::Tensor&, at::ScalarType)>(
          "setun::few_rows_linear");
  return op.call(x, w_OK, dtype);
}

at::Tensor int8_linear(const RowCodes& x, const RowCodes& w, at::ScalarType dtype) {
  static const auto op =
      find_operator<at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                               const at::Tensor&, const at::Tensor&, at::ScalarType)>(
          "setun::int8_linear");
  return op.call(x.codes, x.scale, w.codes, w.scale, w.row_sums, dtype);
}

at::Tensor cached_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            at::Tensor& keys, at::Tensor& values, int64_t length) {
  static const auto op =
      find_operator<at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&, at::Tensor&,
                               at::Tensor&, int64_t)>("setun::cached_attention");
  return op.call(q, k, v, keys, values, length);
}

}  // namespace setun::ops
