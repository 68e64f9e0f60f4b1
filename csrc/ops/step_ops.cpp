#include "ops/step_ops.h"

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

}  // namespace setun::ops
