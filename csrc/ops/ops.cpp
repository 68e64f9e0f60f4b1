// The typed calls: each finds its operator once and goes through the dispatcher.
#include "ops/ops.h"

#include <optional>
#include <tuple>

#include "ops/dispatch.h"

namespace setun::ops {
namespace {

using TensorPair = std::tuple<at::Tensor, at::Tensor>;
using TensorTriple = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

Codes as_codes(TensorPair pair) {
  return {std::move(std::get<0>(pair)), std::move(std::get<1>(pair))};
}

RowCodes as_row_codes(TensorTriple triple) {
  return {std::move(std::get<0>(triple)), std::move(std::get<1>(triple)),
          std::move(std::get<2>(triple))};
}

}  // namespace

Codes quantize_absmax(const at::Tensor& x, int64_t bits, double eps) {
  static const auto op =
      find_operator<TensorPair(const at::Tensor&, int64_t, double)>("setun::quantize_absmax");
  return as_codes(op.call(x, bits, eps));
}

at::Tensor fake_quantize_absmax(const at::Tensor& x, int64_t bits, double eps) {
  static const auto op =
      find_operator<at::Tensor(const at::Tensor&, int64_t, double)>("setun::fake_quantize_absmax");
  return op.call(x, bits, eps);
}

Codes quantize_absmean(const at::Tensor& w_OI, int64_t group, double eps) {
  static const auto op =
      find_operator<TensorPair(const at::Tensor&, int64_t, double)>("setun::quantize_absmean");
  return as_codes(op.call(w_OI, group, eps));
}

Codes quantize_absmedian(const at::Tensor& w_OI, int64_t group, double eps) {
  static const auto op =
      find_operator<TensorPair(const at::Tensor&, int64_t, double)>("setun::quantize_absmedian");
  return as_codes(op.call(w_OI, group, eps));
}

Codes quantize_absmean_stochastic(const at::Tensor& w_OI, const at::Tensor& u_OI, int64_t group,
                                  double eps) {
  static const auto op =
      find_operator<TensorPair(const at::Tensor&, const at::Tensor&, int64_t, double)>(
          "setun::quantize_absmean_stochastic");
  return as_codes(op.call(w_OI, u_OI, group, eps));
}

Codes quantize_binary(const at::Tensor& w_OI, int64_t group) {
  static const auto op =
      find_operator<TensorPair(const at::Tensor&, int64_t)>("setun::quantize_binary");
  return as_codes(op.call(w_OI, group));
}

at::Tensor counter_uniform(int64_t count, int64_t key) {
  static const auto op = find_operator<at::Tensor(int64_t, int64_t)>("setun::counter_uniform");
  return op.call(count, key);
}

Codes quantize_act_absmean(const at::Tensor& x, int64_t bits, double multiplier, double eps) {
  static const auto op = find_operator<TensorPair(const at::Tensor&, int64_t, double, double)>(
      "setun::quantize_act_absmean");
  return as_codes(op.call(x, bits, multiplier, eps));
}

at::Tensor fake_quantize_act_absmean(const at::Tensor& x, int64_t bits, double multiplier,
                                     double eps) {
  static const auto op = find_operator<at::Tensor(const at::Tensor&, int64_t, double, double)>(
      "setun::fake_quantize_act_absmean");
  return op.call(x, bits, multiplier, eps);
}

Codes quantize_fp4(const at::Tensor& x) {
  static const auto op = find_operator<TensorPair(const at::Tensor&)>("setun::quantize_fp4");
  return as_codes(op.call(x));
}

at::Tensor fake_quantize_fp4(const at::Tensor& x) {
  static const auto op = find_operator<at::Tensor(const at::Tensor&)>("setun::fake_quantize_fp4");
  return op.call(x);
}

at::Tensor round_e2m1(const at::Tensor& x) {
  static const auto op = find_operator<at::Tensor(const at::Tensor&)>("setun::round_e2m1");
  return op.call(x);
}

at::Tensor hadamard(const at::Tensor& x, int64_t block) {
  static const auto op = find_operator<at::Tensor(const at::Tensor&, int64_t)>("setun::hadamard");
  return op.call(x, block);
}

at::Tensor topk_mask(const at::Tensor& x, int64_t k) {
  static const auto op = find_operator<at::Tensor(const at::Tensor&, int64_t)>("setun::topk_mask");
  return op.call(x, k);
}

at::Tensor nm_mask(const at::Tensor& x, int64_t n, int64_t m) {
  static const auto op =
      find_operator<at::Tensor(const at::Tensor&, int64_t, int64_t)>("setun::nm_mask");
  return op.call(x, n, m);
}

at::Tensor pack_mask(const at::Tensor& keep) {
  static const auto op = find_operator<at::Tensor(const at::Tensor&)>("setun::pack_mask");
  return op.call(keep);
}

at::Tensor apply_mask(const at::Tensor& x, const at::Tensor& bits) {
  static const auto op =
      find_operator<at::Tensor(const at::Tensor&, const at::Tensor&)>("setun::apply_mask");
  return op.call(x, bits);
}

at::Tensor dequantize_absmax(const Codes& q) {
  static const auto op =
      find_operator<at::Tensor(const at::Tensor&, const at::Tensor&)>("setun::dequantize_absmax");
  return op.call(q.codes, q.scale);
}

at::Tensor dequantize_absmean(const Codes& q) {
  static const auto op =
      find_operator<at::Tensor(const at::Tensor&, const at::Tensor&)>("setun::dequantize_absmean");
  return op.call(q.codes, q.scale);
}

Codes quantize_kv(const at::Tensor& h, int64_t bits, double eps) {
  static const auto op =
      find_operator<TensorPair(const at::Tensor&, int64_t, double)>("setun::quantize_kv");
  return as_codes(op.call(h, bits, eps));
}

at::Tensor fake_quantize_kv(const at::Tensor& h, int64_t bits, double eps) {
  static const auto op =
      find_operator<at::Tensor(const at::Tensor&, int64_t, double)>("setun::fake_quantize_kv");
  return op.call(h, bits, eps);
}

OffsetCodes quantize_kv_asymmetric(const at::Tensor& h, int64_t bits, double eps) {
  static const auto op = find_operator<TensorTriple(const at::Tensor&, int64_t, double)>(
      "setun::quantize_kv_asymmetric");
  auto [codes, scale, minimum] = op.call(h, bits, eps);
  return {std::move(codes), std::move(scale), std::move(minimum)};
}

at::Tensor fake_quantize_kv_asymmetric(const at::Tensor& h, int64_t bits, double eps) {
  static const auto op = find_operator<at::Tensor(const at::Tensor&, int64_t, double)>(
      "setun::fake_quantize_kv_asymmetric");
  return op.call(h, bits, eps);
}

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& gain, double eps) {
  static const auto op =
      find_operator<at::Tensor(const at::Tensor&, const std::optional<at::Tensor>&, double)>(
          "setun::rms_norm");
  return op.call(x, present(gain), eps);
}

RmsNormGradient rms_norm_backward(const at::Tensor& grad, const at::Tensor& x,
                                  const at::Tensor& gain, const at::Tensor& factor) {
  using Optional = std::optional<at::Tensor>;
  static const auto op =
      find_operator<TensorPair(const at::Tensor&, const at::Tensor&, const Optional&,
                               const at::Tensor&)>("setun::rms_norm_backward");
  auto [grad_x, grad_gain] = op.call(grad, x, present(gain), factor);
  return {std::move(grad_x), std::move(grad_gain)};
}

at::Tensor layer_norm(const at::Tensor& x, double eps) {
  static const auto op = find_operator<at::Tensor(const at::Tensor&, double)>("setun::layer_norm");
  return op.call(x, eps);
}

PackedTernary pack_ternary(const at::Tensor& codes_OI) {
  static const auto op = find_operator<at::Tensor(const at::Tensor&)>("setun::pack_ternary");
  return {op.call(codes_OI), codes_OI.size(0), codes_OI.size(1)};
}

at::Tensor unpack_ternary(const PackedTernary& w, at::ScalarType dtype) {
  static const auto op =
      find_operator<at::Tensor(const at::Tensor&, int64_t, int64_t, at::ScalarType)>(
          "setun::unpack_ternary");
  return op.call(w.packed, w.rows, w.columns, dtype);
}

PackedTernary transpose_ternary(const PackedTernary& w) {
  static const auto op =
      find_operator<at::Tensor(const at::Tensor&, int64_t, int64_t)>("setun::transpose_ternary");
  return {op.call(w.packed, w.rows, w.columns), w.columns, w.rows};
}

PackedWeight quantize_pack_absmean(const at::Tensor& w_OI, int64_t group, double eps) {
  static const auto op = find_operator<TensorTriple(const at::Tensor&, int64_t, double)>(
      "setun::quantize_pack_absmean");
  auto [packed, scale, counts] = op.call(w_OI, group, eps);
  return {{std::move(packed), w_OI.size(0), w_OI.size(1)}, std::move(scale), std::move(counts)};
}

PackedWeight quantize_pack_scaled(const at::Tensor& w_OI, const at::Tensor& scale) {
  static const auto op = find_operator<TensorPair(const at::Tensor&, const at::Tensor&)>(
      "setun::quantize_pack_scaled");
  auto [packed, counts] = op.call(w_OI, scale);
  return {{std::move(packed), w_OI.size(0), w_OI.size(1)}, scale, std::move(counts)};
}

RowCodes quantize_absmax_rows(const at::Tensor& x, int64_t bits, double eps) {
  static const auto op = find_operator<TensorTriple(const at::Tensor&, int64_t, double)>(
      "setun::quantize_absmax_rows");
  return as_row_codes(op.call(x, bits, eps));
}

NormedRowCodes rms_norm_quantize(const at::Tensor& x, const at::Tensor& gain, double norm_eps,
                                 int64_t bits, double eps, int64_t hadamard_block) {
  using Result = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;
  static const auto op =
      find_operator<Result(const at::Tensor&, const std::optional<at::Tensor>&, double, int64_t,
                           double, int64_t)>("setun::rms_norm_quantize");
  auto [codes, scale, row_sums, factor] =
      op.call(x, present(gain), norm_eps, bits, eps, hadamard_block);
  return {{std::move(codes), std::move(scale), std::move(row_sums)}, std::move(factor)};
}

RowCodes quantize_gradient_rows(const at::Tensor& dy, bool stochastic, int64_t key) {
  static const auto op = find_operator<TensorTriple(const at::Tensor&, bool, int64_t)>(
      "setun::quantize_gradient_rows");
  return as_row_codes(op.call(dy, stochastic, key));
}

at::Tensor pack_int4(const at::Tensor& codes) {
  static const auto op = find_operator<at::Tensor(const at::Tensor&)>("setun::pack_int4");
  return op.call(codes);
}

at::Tensor unpack_int4(const at::Tensor& packed, int64_t columns) {
  static const auto op =
      find_operator<at::Tensor(const at::Tensor&, int64_t)>("setun::unpack_int4");
  return op.call(packed, columns);
}

at::Tensor ternary_linear(const RowCodes& x, const PackedTernary& w, const at::Tensor& w_scale,
                          at::ScalarType dtype, const at::Tensor& residual) {
  static const auto op = find_operator<at::Tensor(
      const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&, int64_t, int64_t,
      const at::Tensor&, at::ScalarType, const std::optional<at::Tensor>&)>(
      "setun::ternary_linear");
  return op.call(x.codes, x.scale, x.row_sums, w.packed, w.rows, w.columns, w_scale, dtype,
                 present(residual));
}

}  // namespace setun::ops
