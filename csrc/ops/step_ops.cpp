#include "ops/step_ops.h"

#include <algorithm>
#include <array>

#include "ops/dispatch.h"

namespace setun::ops {

at::Tensor gated_activation(const at::Tensor& gate, const at::Tensor& up, GatedKind kind) {
  static const auto op =
      find_operator<at::Tensor(const at::Tensor&, const at::Tensor&, c10::string_view)>(
          "setun::gated_activation");
  return op.call(gate, up, enum_name(kind));
}

at::Tensor rope(const at::Tensor& x_BHTD, const at::Tensor& cos_TD, const at::Tensor& sin_TD,
                bool inverse) {
  static const auto op =
      find_operator<at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&, bool)>(
          "setun::rope");
  return op.call(x_BHTD, cos_TD, sin_TD, inverse);
}

at::Tensor cross_entropy_rows(const at::Tensor& logits_NV, const at::Tensor& targets_N) {
  static const auto op =
      find_operator<at::Tensor(const at::Tensor&, const at::Tensor&)>("setun::cross_entropy_rows");
  return op.call(logits_NV, targets_N);
}

at::Tensor cross_entropy_rows_(at::Tensor& logits_NV, const at::Tensor& targets_N) {
  static const auto op =
      find_operator<at::Tensor(at::Tensor&, const at::Tensor&)>("setun::cross_entropy_rows_");
  return op.call(logits_NV, targets_N);
}

at::Tensor dequantize_rows(const at::Tensor& codes, const at::Tensor& scale, at::ScalarType dtype) {
  static const auto op =
      find_operator<at::Tensor(const at::Tensor&, const at::Tensor&, at::ScalarType)>(
          "setun::dequantize_rows");
  return op.call(codes, scale, dtype);
}

at::Tensor counter_uniform_like(const at::Tensor& like, int64_t key) {
  static const auto op =
      find_operator<at::Tensor(const at::Tensor&, int64_t)>("setun::counter_uniform_like");
  return op.call(like, key);
}

at::Tensor dropout_mask(const at::Tensor& like, double probability, int64_t key) {
  static const auto op =
      find_operator<at::Tensor(const at::Tensor&, double, int64_t)>("setun::dropout_mask");
  return op.call(like, probability, key);
}

at::Tensor sum_of_squares(const at::Tensor& x) {
  static const auto op = find_operator<at::Tensor(const at::Tensor&)>("setun::sum_of_squares");
  return op.call(x);
}

void AdamWFactors::round_to(float* eight) const {
  const std::array<double, kCount> all = {clip, decay, rate, correction, eps, first, beta2, second};
  std::transform(all.begin(), all.end(), eight, [](double f) { return static_cast<float>(f); });
}

void adamw_(const at::Tensor& p, const at::Tensor& grad, const at::Tensor& m, const at::Tensor& v,
            const at::Tensor& factors) {
  static const auto op = find_operator<void(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                            const at::Tensor&, const at::Tensor&)>("setun::adamw_");
  op.call(p, grad, m, v, factors);
}

void adamw_ternary_(const at::Tensor& p_OI, const at::Tensor& grad, const at::Tensor& m,
                    const at::Tensor& v, const at::Tensor& factors, double eps,
                    const at::Tensor& scale, const at::Tensor& packed) {
  static const auto op =
      find_operator<void(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                         const at::Tensor&, double, const at::Tensor&, const at::Tensor&)>(
          "setun::adamw_ternary_");
  op.call(p_OI, grad, m, v, factors, eps, scale, packed);
}

}  // namespace setun::ops
