// Meta kernels of the integer path: packed weights, row codes and their product.
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include "ops/checks.h"

namespace setun::ops {
namespace {

using RowCodeTensors = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

at::Tensor empty_packed(const at::Tensor& like, int64_t rows, int64_t columns) {
  return at::empty({cpu::packed_bytes(rows, columns)}, like.options().dtype(at::kByte));
}

at::Tensor empty_counts(const at::Tensor& like) {
  return at::empty({3}, like.options().dtype(at::kLong));
}

RowCodeTensors row_codes(const at::Tensor& x) {
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = 1;
  return {at::empty(x.sizes(), x.options().dtype(at::kChar)),
          at::empty(shape, x.options().dtype(at::kFloat)),
          at::empty(x.sizes().slice(0, x.dim() - 1), x.options().dtype(at::kInt))};
}

at::Tensor pack_ternary(const at::Tensor& codes) {
  check_pack_ternary(codes);
  return empty_packed(codes, codes.size(0), codes.size(1));
}

at::Tensor unpack_ternary(const at::Tensor& packed, int64_t rows, int64_t columns,
                          at::ScalarType dtype) {
  check_packed("unpack_ternary", packed, rows, columns);
  check_code_type("unpack_ternary", dtype);
  return at::empty({rows, columns}, packed.options().dtype(dtype));
}

at::Tensor transpose_ternary(const at::Tensor& packed, int64_t rows, int64_t columns) {
  check_packed("transpose_ternary", packed, rows, columns);
  return empty_packed(packed, columns, rows);
}

RowCodeTensors quantize_pack_absmean(const at::Tensor& w, int64_t group, double eps) {
  check_ternary("quantize_pack_absmean", w, group, eps);
  return {empty_packed(w, w.size(0), w.size(1)),
          at::empty(weight_scale_shape(w, group), w.options().dtype(at::kFloat)), empty_counts(w)};
}

std::tuple<at::Tensor, at::Tensor> quantize_pack_scaled(const at::Tensor& w,
                                                        const at::Tensor& scale) {
  check_quantize_pack_scaled(w, scale);
  return {empty_packed(w, w.size(0), w.size(1)), empty_counts(w)};
}

RowCodeTensors quantize_absmax_rows(const at::Tensor& x, int64_t bits, double eps) {
  check_absmax("quantize_absmax_rows", x, bits, eps);
  return row_codes(x);
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> rms_norm_quantize(
    const at::Tensor& x, const std::optional<at::Tensor>& gain, double norm_eps, int64_t bits,
    double eps, int64_t hadamard_block) {
  check_rms_norm_quantize(x, gain, norm_eps, bits, eps, hadamard_block);
  auto [codes, scale, row_sums] = row_codes(x);
  return {codes, scale, row_sums, at::empty_like(scale)};
}

RowCodeTensors quantize_gradient_rows(const at::Tensor& dy, bool, int64_t) {
  check_gradient_rows(dy);
  return row_codes(dy);
}

at::Tensor pack_int4(const at::Tensor& codes) {
  check_pack_int4(codes);
  std::vector<int64_t> shape = codes.sizes().vec();
  shape.back() = (shape.back() + 1) / 2;
  return at::empty(shape, codes.options().dtype(at::kByte));
}

at::Tensor unpack_int4(const at::Tensor& packed, int64_t columns) {
  check_unpack_int4(packed, columns);
  std::vector<int64_t> shape = packed.sizes().vec();
  shape.back() = columns;
  return at::empty(shape, packed.options().dtype(at::kChar));
}

at::Tensor ternary_linear(const at::Tensor& codes, const at::Tensor& scale,
                          const at::Tensor& row_sums, const at::Tensor& packed, int64_t rows,
                          int64_t columns, const at::Tensor& w_scale, at::ScalarType dtype,
                          const std::optional<at::Tensor>& residual) {
  check_ternary_linear(codes, scale, row_sums, packed, rows, columns, w_scale, dtype, residual,
                       cpu::packed_bytes(rows, columns));
  std::vector<int64_t> shape = codes.sizes().vec();
  shape.back() = rows;
  return at::empty(shape, scale.options().dtype(dtype));
}

}  // namespace

TORCH_LIBRARY_IMPL(setun, Meta, m) {
  m.impl("pack_ternary", pack_ternary);
  m.impl("unpack_ternary", unpack_ternary);
  m.impl("transpose_ternary", transpose_ternary);
  m.impl("quantize_pack_absmean", quantize_pack_absmean);
  m.impl("quantize_pack_scaled", quantize_pack_scaled);
  m.impl("quantize_absmax_rows", quantize_absmax_rows);
  m.impl("rms_norm_quantize", rms_norm_quantize);
  m.impl("quantize_gradient_rows", quantize_gradient_rows);
  m.impl("pack_int4", pack_int4);
  m.impl("unpack_int4", unpack_int4);
  m.impl("ternary_linear", ternary_linear);
}

}  // namespace setun::ops
