// Glue of the quantizers of activations and of the key-value cache.
#include <ATen/Functions.h>

#include <limits>

#include "ops/checks.h"
#include "ops/cuda/ops_cuda.h"
#include "ops/cuda/token_call.h"

namespace setun::ops::cuda {
namespace {

struct Rule {
  TokenRule rule;
  int64_t bits;
  double multiplier = 0, eps = 0;
};

TensorPair codes_of(const char* op, const at::Tensor& x, const Rule& rule) {
  TokenCall call(op, x);
  call.quantizer(rule.rule, rule.bits, rule.multiplier, rule.eps);
  TensorPair result = call.codes_and_scale();
  call.run();
  return result;
}

at::Tensor values_of(const char* op, const at::Tensor& x, const Rule& rule) {
  TokenCall call(op, x);
  call.quantizer(rule.rule, rule.bits, rule.multiplier, rule.eps);
  at::Tensor out = call.empty(call.x.scalar_type());
  call.params.fake = out.data_ptr();
  call.run();
  return out.to(x.scalar_type());
}

// A row that is too wide for a block's shared memory (one scale for a whole tensor): elementwise
// operations and a maximum, which have one result whatever the order.
bool is_wide(const at::Tensor& x) { return x.size(-1) > setun::cuda::kMaxTokenColumns; }

TensorPair wide_absmax(const at::Tensor& x_in, int64_t bits, double eps) {
  const at::Tensor x = as_fp32(x_in);
  const float high = largest_code(bits);
  const at::Tensor largest = x.abs().amax(-1, /*keepdim=*/true);  // NaN and infinity stay
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const at::Tensor scale = at::full_like(largest, high)
                               .div_(largest.clamp_min(static_cast<float>(eps)))
                               .masked_fill_(largest.isfinite().logical_not_(), nan);
  at::Tensor codes = x.mul(scale).clamp_(-high - 2, high + 1).round_().clamp_(-high - 1, high);
  return {codes.nan_to_num_(0).to(at::kChar), scale};
}

}  // namespace

TensorPair quantize_absmax(const at::Tensor& x, int64_t bits, double eps) {
  check_absmax("quantize_absmax", x, bits, eps);
  return is_wide(x) ? wide_absmax(x, bits, eps)
                    : codes_of("quantize_absmax", x, {TokenRule::kAbsmax, bits, 0, eps});
}

at::Tensor fake_quantize_absmax(const at::Tensor& x, int64_t bits, double eps) {
  check_absmax("fake_quantize_absmax", x, bits, eps);
  if (is_wide(x)) {
    const auto [codes, scale] = wide_absmax(x, bits, eps);
    return codes.to(at::kFloat).div_(scale).to(x.scalar_type());
  }
  return values_of("fake_quantize_absmax", x, {TokenRule::kAbsmax, bits, 0, eps});
}

at::Tensor dequantize_absmax(const at::Tensor& codes, const at::Tensor& scale) {
  check_absmax_codes("dequantize_absmax", codes, scale);
  return codes.to(at::kFloat).div_(scale);
}

TensorPair quantize_act_absmean(const at::Tensor& x, int64_t bits, double multiplier, double eps) {
  check_act_absmean("quantize_act_absmean", x, bits, multiplier, eps);
  return codes_of("quantize_act_absmean", x, {TokenRule::kAbsmean, bits, multiplier, eps});
}

at::Tensor fake_quantize_act_absmean(const at::Tensor& x, int64_t bits, double multiplier,
                                     double eps) {
  check_act_absmean("fake_quantize_act_absmean", x, bits, multiplier, eps);
  return values_of("fake_quantize_act_absmean", x, {TokenRule::kAbsmean, bits, multiplier, eps});
}

TensorPair quantize_fp4(const at::Tensor& x) {
  check_float_rows("quantize_fp4", x);
  return codes_of("quantize_fp4", x, {TokenRule::kE2m1, 4});
}

at::Tensor fake_quantize_fp4(const at::Tensor& x) {
  check_float_rows("fake_quantize_fp4", x);
  return values_of("fake_quantize_fp4", x, {TokenRule::kE2m1, 4});
}

at::Tensor round_e2m1(const at::Tensor& x) {
  check_float_rows("round_e2m1", x);
  return values_of("round_e2m1", x, {TokenRule::kRoundE2m1, 0});
}

TensorPair quantize_kv(const at::Tensor& h, int64_t bits, double eps) {
  check_absmax("quantize_kv", h, bits, eps);
  return codes_of("quantize_kv", h, {TokenRule::kStep, bits, 0, eps});
}

at::Tensor fake_quantize_kv(const at::Tensor& h, int64_t bits, double eps) {
  check_absmax("fake_quantize_kv", h, bits, eps);
  return values_of("fake_quantize_kv", h, {TokenRule::kStep, bits, 0, eps});
}

TensorTriple quantize_kv_asymmetric(const at::Tensor& h, int64_t bits, double eps) {
  check_absmax("quantize_kv_asymmetric", h, bits, eps);
  TokenCall call("quantize_kv_asymmetric", h);
  call.quantizer(TokenRule::kOffset, bits, 0, eps);
  at::Tensor codes = call.empty(at::kByte), scale = call.empty_per_row(),
             minimum = call.empty_per_row();
  call.params.codes = reinterpret_cast<int8_t*>(codes.data_ptr<uint8_t>());  // modulo 256
  call.params.code_stride = call.params.columns;
  call.params.scale = scale.data_ptr<float>();
  call.params.minimum = minimum.data_ptr<float>();
  call.run();
  return {codes, scale, minimum};
}

at::Tensor fake_quantize_kv_asymmetric(const at::Tensor& h, int64_t bits, double eps) {
  check_absmax("fake_quantize_kv_asymmetric", h, bits, eps);
  return values_of("fake_quantize_kv_asymmetric", h, {TokenRule::kOffset, bits, 0, eps});
}

}  // namespace setun::ops::cuda
