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

std::tuple<at::Tensor, at::Tensor> quantize_absmax(const at::Tensor& x, int64_t bits, double eps) {
  check_absmax("quantize_absmax", x, bits, eps);
  return {at::empty(x.sizes(), x.options().dtype(at::kChar)),
          at::empty(one_per_row(x), x.options().dtype(at::kFloat))};
}

at::Tensor fake_quantize_absmax(const at::Tensor& x, int64_t bits, double eps) {
  check_absmax("fake_quantize_absmax", x, bits, eps);
  return at::empty(x.sizes(), x.options());
}

std::tuple<at::Tensor, at::Tensor> quantize_absmean(const at::Tensor& w, int64_t group,
                                                    double eps) {
  check_absmean("quantize_absmean", w, group, eps);
  return {at::empty(w.sizes(), w.options().dtype(at::kChar)),
          at::empty(absmean_scale_shape(w, group), w.options().dtype(at::kFloat))};
}

at::Tensor dequantize_absmax(const at::Tensor& codes, const at::Tensor& scale) {
  check_absmax_codes("dequantize_absmax", codes, scale);
  return at::empty(codes.sizes(), scale.options());
}

at::Tensor dequantize_absmean(const at::Tensor& codes, const at::Tensor& scale) {
  check_absmean_codes("dequantize_absmean", codes, scale);
  return at::empty(codes.sizes(), scale.options());
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

at::Tensor layer_norm_backward(const at::Tensor&, const at::Tensor& y, const at::Tensor&) {
  return at::empty(y.sizes(), y.options());
}

}  // namespace

TORCH_LIBRARY_IMPL(setun, Meta, m) {
  m.impl("quantize_absmax", quantize_absmax);
  m.impl("fake_quantize_absmax", fake_quantize_absmax);
  m.impl("quantize_absmean", quantize_absmean);
  m.impl("dequantize_absmax", dequantize_absmax);
  m.impl("dequantize_absmean", dequantize_absmean);
  m.impl("rms_norm_forward", rms_norm_forward);
  m.impl("rms_norm_backward", rms_norm_backward);
  m.impl("layer_norm_forward", layer_norm_forward);
  m.impl("layer_norm_backward", layer_norm_backward);
}

}  // namespace setun::ops
