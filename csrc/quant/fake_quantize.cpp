#include "quant/fake_quantize.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/ge.h>

#include "base/error.h"
#include "ops/ops.h"
#include "quant/estimators/ste.h"
#include "quant/quantizers/absmean.h"

namespace setun {

QuantizedWeight quantize_weight(const at::Tensor& latent_OI, const WeightQuantSpec& spec) {
  const c10::NoGradGuard no_grad;
  switch (spec.scheme) {
    case WeightScheme::kNone:
      break;
    case WeightScheme::kAbsmean:
      return quantize_weight_absmean(latent_OI.detach(), spec);
  }
  SETUN_ASSERT(false, "quantize_weight without a scheme");
  return {};
}

at::Tensor weight_gradient(const at::Tensor& grad_value_OI, const at::Tensor& latent_OI,
                           const WeightQuantSpec& spec) {
  SETUN_ASSERT(grad_value_OI.sizes() == latent_OI.sizes(), "gradient ", grad_value_OI.sizes(),
               " of a weight ", latent_OI.sizes());
  switch (spec.estimator) {
    case Estimator::kSte:
      return grad_value_OI;
  }
  return grad_value_OI;
}

at::Tensor fake_quantize_activation(const at::Tensor& x, const ActivationQuantSpec& spec) {
  switch (spec.scheme) {
    case ActivationScheme::kNone:
      return x;
    case ActivationScheme::kAbsmax:
      break;
  }
  switch (spec.estimator) {
    case Estimator::kSte:
      return straight_through(x, [&](const at::Tensor& input) {
        return ops::fake_quantize_absmax(input, spec.bits, spec.eps);
      });
  }
  return x;
}

double activation_clip_share(const at::Tensor& x, const ActivationQuantSpec& spec) {
  if (spec.scheme == ActivationScheme::kNone) {
    return 0;
  }
  const c10::NoGradGuard no_grad;
  const at::Tensor codes = ops::quantize_absmax(x.detach(), spec.bits, spec.eps).codes;
  const int64_t end = (int64_t{1} << (spec.bits - 1)) - 1;
  // Codes are widened because abs(-128) does not fit int8.
  const auto at_end = codes.to(at::kShort).abs().ge(end).sum().item<int64_t>();
  return static_cast<double>(at_end) / static_cast<double>(codes.numel());
}

}  // namespace setun
