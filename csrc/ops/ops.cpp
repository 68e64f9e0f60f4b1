// The typed calls: each finds its operator once and goes through the dispatcher.
#include "ops/ops.h"

#include <ATen/core/dispatch/Dispatcher.h>

#include <optional>
#include <tuple>

namespace setun::ops {
namespace {

template <class Signature>
auto find(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

using TensorPair = std::tuple<at::Tensor, at::Tensor>;

Codes as_codes(TensorPair pair) {
  return {std::move(std::get<0>(pair)), std::move(std::get<1>(pair))};
}

}  // namespace

Codes quantize_absmax(const at::Tensor& x, int64_t bits, double eps) {
  static const auto op =
      find<TensorPair(const at::Tensor&, int64_t, double)>("setun::quantize_absmax");
  return as_codes(op.call(x, bits, eps));
}

at::Tensor fake_quantize_absmax(const at::Tensor& x, int64_t bits, double eps) {
  static const auto op =
      find<at::Tensor(const at::Tensor&, int64_t, double)>("setun::fake_quantize_absmax");
  return op.call(x, bits, eps);
}

Codes quantize_absmean(const at::Tensor& w_OI, int64_t group, double eps) {
  static const auto op =
      find<TensorPair(const at::Tensor&, int64_t, double)>("setun::quantize_absmean");
  return as_codes(op.call(w_OI, group, eps));
}

at::Tensor dequantize_absmax(const Codes& q) {
  static const auto op =
      find<at::Tensor(const at::Tensor&, const at::Tensor&)>("setun::dequantize_absmax");
  return op.call(q.codes, q.scale);
}

at::Tensor dequantize_absmean(const Codes& q) {
  static const auto op =
      find<at::Tensor(const at::Tensor&, const at::Tensor&)>("setun::dequantize_absmean");
  return op.call(q.codes, q.scale);
}

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& gain, double eps) {
  using Optional = std::optional<at::Tensor>;
  static const auto op =
      find<at::Tensor(const at::Tensor&, const Optional&, double)>("setun::rms_norm");
  return op.call(x, gain.defined() ? Optional(gain) : std::nullopt, eps);
}

at::Tensor layer_norm(const at::Tensor& x, double eps) {
  static const auto op = find<at::Tensor(const at::Tensor&, double)>("setun::layer_norm");
  return op.call(x, eps);
}

}  // namespace setun::ops
