// Shapes and types of every operator's results without data: the Meta kernels.
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include "ops/checks.h"

namespace setun::ops {
namespace {

std::vector<int64_t> one_per_row(const at::Tensor& x) {
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = 1;
  return shape;
}

// Codes of x's shape and one fp32 scale a row.
std::tuple<at::Tensor, at::Tensor> row_codes(const at::Tensor& x) {
  return {at::empty(x.sizes(), x.options().dtype(at::kChar)),
          at::empty(one_per_row(x), x.options().dtype(at::kFloat))};
}

// Codes of w's shape and one fp32 scale a group.
std::tuple<at::Tensor, at::Tensor> weight_codes(const at::Tensor& w, int64_t group) {
  return {at::empty(w.sizes(), w.options().dtype(at::kChar)),
          at::empty(weight_scale_shape(w, group), w.options().dtype(at::kFloat))};
}

std::tuple<at::Tensor, at::Tensor> quantize_absmax(const at::Tensor& x, int64_t bits, double eps) {
  check_absmax("quantize_absmax", x, bits, eps);
  return row_codes(x);
}

at::Tensor fake_quantize_absmax(const at::Tensor& x, int64_t bits, double eps) {
  check_absmax("fake_quantize_absmax", x, bits, eps);
  return at::empty(x.sizes(), x.options());
}

std::tuple<at::Tensor, at::Tensor> quantize_absmean(const at::Tensor& w, int64_t group,
                                                    double eps) {
  check_ternary("quantize_absmean", w, group, eps);
  return weight_codes(w, group);
}

std::tuple<at::Tensor, at::Tensor> quantize_absmedian(const at::Tensor& w, int64_t group,
                                                      double eps) {
  check_ternary("quantize_absmedian", w, group, eps);
  return weight_codes(w, group);
}

std::tuple<at::Tensor, at::Tensor> quantize_absmean_stochastic(const at::Tensor& w,
                                                               const at::Tensor& u, int64_t group,
                                                               double eps) {
  check_stochastic("quantize_absmean_stochastic", w, u, group, eps);
  return weight_codes(w, group);
}

std::tuple<at::Tensor, at::Tensor> quantize_binary(const at::Tensor& w, int64_t group) {
  check_weight("quantize_binary", w, group);
  return weight_codes(w, group);
}

std::tuple<at::Tensor, at::Tensor> quantize_act_absmean(const at::Tensor& x, int64_t bits,
                                                        double multiplier, double eps) {
  check_act_absmean("quantize_act_absmean", x, bits, multiplier, eps);
  return row_codes(x);
}

at::Tensor fake_quantize_act_absmean(const at::Tensor& x, int64_t bits, double multiplier,
                                     double eps) {
  check_act_absmean("fake_quantize_act_absmean", x, bits, multiplier, eps);
  return at::empty(x.sizes(), x.options());
}

std::tuple<at::Tensor, at::Tensor> quantize_fp4(const at::Tensor& x) {
  check_float_rows("quantize_fp4", x);
  return row_codes(x);
}

at::Tensor fake_quantize_fp4(const at::Tensor& x) {
  check_float_rows("fake_quantize_fp4", x);
  return at::empty(x.sizes(), x.options());
}

at::Tensor round_e2m1(const at::Tensor& x) {
  check_float_rows("round_e2m1", x);
  return at::empty(x.sizes(), x.options());
}

at::Tensor hadamard(const at::Tensor& x, int64_t block) {
  check_hadamard(x, block);
  return at::empty(x.sizes(), x.options().dtype(at::kFloat));
}

at::Tensor topk_mask(const at::Tensor& x, int64_t k) {
  check_topk_mask(x, k);
  return at::empty(x.sizes(), x.options().dtype(at::kBool));
}

at::Tensor nm_mask(const at::Tensor& x, int64_t n, int64_t m) {
  check_nm_mask(x, n, m);
  return at::empty(x.sizes(), x.options().dtype(at::kBool));
}

at::Tensor pack_mask(const at::Tensor& keep) {
  check_pack_mask(keep);
  return at::empty(mask_words(keep.sizes()), keep.options().dtype(at::kInt));
}

at::Tensor apply_mask(const at::Tensor& x, const at::Tensor& bits) {
  check_apply_mask(x, bits);
  return at::empty(x.sizes(), x.options());
}

at::Tensor dequantize_absmax(const at::Tensor& codes, const at::Tensor& scale) {
  check_absmax_codes("dequantize_absmax", codes, scale);
  return at::empty(codes.sizes(), scale.options());
}

at::Tensor dequantize_absmean(const at::Tensor& codes, const at::Tensor& scale) {
  check_absmean_codes("dequantize_absmean", codes, scale);
  return at::empty(codes.sizes(), scale.options());
}

std::tuple<at::Tensor, at::Tensor> quantize_kv(const at::Tensor& h, int64_t bits, double eps) {
  check_absmax("quantize_kv", h, bits, eps);
  return row_codes(h);
}

at::Tensor fake_quantize_kv(const at::Tensor& h, int64_t bits, double eps) {
  check_absmax("fake_quantize_kv", h, bits, eps);
  return at::empty(h.sizes(), h.options());
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> quantize_kv_asymmetric(const at::Tensor& h,
                                                                      int64_t bits, double eps) {
  check_absmax("quantize_kv_asymmetric", h, bits, eps);
  const auto fp32 = h.options().dtype(at::kFloat);
  return {at::empty(h.sizes(), h.options().dtype(at::kByte)), at::empty(one_per_row(h), fp32),
          at::empty(one_per_row(h), fp32)};
}

at::Tensor fake_quantize_kv_asymmetric(const at::Tensor& h, int64_t bits, double eps) {
  check_absmax("fake_quantize_kv_asymmetric", h, bits, eps);
  return at::empty(h.sizes(), h.options());
}

std::tuple<at::Tensor, at::Tensor> rms_norm_forward(const at::Tensor& x,
                                                    const std::optional<at::Tensor>& gain,
                                                    double eps) {
  check_rms_norm(x, gain, eps);
  const auto fp32 = x.options().dtype(at::kFloat);
  return {at::empty(x.sizes(), fp32), at::empty({x.numel() / x.size(-1)}, fp32)};
}

std::tuple<at::Tensor, at::Tensor> rms_norm_backward(const at::Tensor&, const at::Tensor& x,
                                                     const std::optional<at::Tensor>& gain,
                                                     const at::Tensor&) {
  const auto fp32 = x.options().dtype(at::kFloat);
  return {at::empty(x.sizes(), x.options()), at::empty({gain ? x.size(-1) : 0}, fp32)};
}

std::tuple<at::Tensor, at::Tensor> layer_norm_forward(const at::Tensor& x, double eps) {
  check_layer_norm(x, eps);
  const auto fp32 = x.options().dtype(at::kFloat);
  return {at::empty(x.sizes(), fp32), at::empty({x.numel() / x.size(-1)}, fp32)};
}

at::Tensor layer_norm_backward(const at::Tensor&, const at::Tensor& y, const at::Tensor&,
                               at::ScalarType type) {
  return at::empty(y.sizes(), y.options().dtype(type));
}

}  // namespace

TORCH_LIBRARY_IMPL(setun, Meta, m) {
  m.impl("quantize_absmax", quantize_absmax);
  m.impl("fake_quantize_absmax", fake_quantize_absmax);
  m.impl("quantize_absmean", quantize_absmean);
  m.impl("quantize_absmedian", quantize_absmedian);
  m.impl("quantize_absmean_stochastic", quantize_absmean_stochastic);
  m.impl("quantize_binary", quantize_binary);
  m.impl("quantize_act_absmean", quantize_act_absmean);
  m.impl("fake_quantize_act_absmean", fake_quantize_act_absmean);
  m.impl("quantize_fp4", quantize_fp4);
  m.impl("fake_quantize_fp4", fake_quantize_fp4);
  m.impl("round_e2m1", round_e2m1);
  m.impl("hadamard", hadamard);
  m.impl("topk_mask", topk_mask);
  m.impl("nm_mask", nm_mask);
  m.impl("pack_mask", pack_mask);
  m.impl("apply_mask", apply_mask);
  m.impl("dequantize_absmax", dequantize_absmax);
  m.impl("dequantize_absmean", dequantize_absmean);
  m.impl("quantize_kv", quantize_kv);
  m.impl("fake_quantize_kv", fake_quantize_kv);
  m.impl("quantize_kv_asymmetric", quantize_kv_asymmetric);
  m.impl("fake_quantize_kv_asymmetric", fake_quantize_kv_asymmetric);
  m.impl("rms_norm_forward", rms_norm_forward);
  m.impl("rms_norm_backward", rms_norm_backward);
  m.impl("layer_norm_forward", layer_norm_forward);
  m.impl("layer_norm_backward", layer_norm_backward);
}

}  // namespace setun::ops
