#include "quant/fake_quantize.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/ge.h>

#include "base/error.h"
#include "ops/ops.h"
#include "quant/estimators/ste.h"
#include "quant/quantizers/b1_activation.h"
#include "quant/quantizers/sparsity.h"
#include "quant/quantizers/weight_codes.h"
#include "quant/rotation.h"

namespace setun {
namespace {

// absmax with a scale per token, or one for the whole tensor, which then is one long token.
at::Tensor rows_of(const at::Tensor& x, Granularity granularity) {
  return granularity == Granularity::kTensor ? x.reshape({1, -1}) : x;
}

// Q_a without a gradient: [..., K] in x's dtype.
at::Tensor fake_quantize(const at::Tensor& x, const ActivationQuantSpec& spec) {
  const bool whole = spec.granularity == Granularity::kTensor;
  switch (spec.scheme) {
    case ActivationScheme::kNone:
      return x;
    case ActivationScheme::kAbsmax:
      return ops::fake_quantize_absmax(rows_of(x, spec.granularity), spec.bits, spec.eps)
          .view(x.sizes());
    case ActivationScheme::kAbsmean:
      return ops::fake_quantize_act_absmean(x, spec.bits, spec.multiplier, spec.eps);
    case ActivationScheme::kFp4:
      return ops::fake_quantize_fp4(x);
    case ActivationScheme::kB1:
      return dequantize_b1(quantize_b1(x, spec.bits, spec.eps, false, whole)).to(x.scalar_type());
    case ActivationScheme::kB1Shifted:
      return dequantize_b1(quantize_b1(x, spec.bits, spec.eps, true, whole)).to(x.scalar_type());
  }
  return x;
}

at::Tensor estimate(const at::Tensor& x, const ActivationQuantSpec& spec) {
  if (spec.scheme == ActivationScheme::kNone) {
    return x;
  }
  switch (spec.estimator) {
    case Estimator::kSte:
      return straight_through(x, [&](const at::Tensor& v) { return fake_quantize(v, spec); });
  }
  return x;
}

SparsityMask mask_of(const at::Tensor& x, const SparsitySpec& spec) {
  const c10::NoGradGuard no_grad;
  return sparsity_mask(x.detach(), spec);
}

at::Tensor sparsify(const at::Tensor& dense, const SparsityMask& mask, SparsityGradient gradient) {
  at::Tensor sparse;
  switch (gradient) {
    case SparsityGradient::kSte:
      sparse = straight_through(dense, [&](const at::Tensor& v) { return v.mul(mask.keep); });
      break;
    case SparsityGradient::kMasked:
      sparse = dense * mask.keep;
      break;
  }
  return mask.factor.defined() ? (sparse * mask.factor).to(dense.scalar_type()) : sparse;
}

}  // namespace

QuantizedWeight quantize_weight(const at::Tensor& latent_OI, const LinearSpec& spec,
                                uint64_t draws_key) {
  SETUN_ASSERT(spec.changes_weight(), "quantize_weight of a spec that leaves weights alone");
  const c10::NoGradGuard no_grad;
  const at::Tensor latent = latent_OI.detach();
  const at::Tensor w = spec.rotation.rotates_weight() ? rotate(latent, spec.rotation) : latent;
  if (spec.weight.scheme == WeightScheme::kNone) {
    return {.codes = {}, .scale = {}, .value = w};
  }
  QuantizedWeight q = quantize_weight_codes(w, spec.weight, draws_key);
  if (spec.weight.blend < 1) {
    q.value = w.add(q.value.sub_(w), spec.weight.blend);
  }
  return q;
}

at::Tensor weight_gradient(const at::Tensor& grad_value_OI, const at::Tensor& latent_OI,
                           const LinearSpec& spec) {
  SETUN_ASSERT(grad_value_OI.sizes() == latent_OI.sizes(), "gradient ", grad_value_OI.sizes(),
               " of a weight ", latent_OI.sizes());
  at::Tensor gradient;
  switch (spec.weight.estimator) {
    case Estimator::kSte:
      gradient = grad_value_OI;
      break;
  }
  return spec.rotation.rotates_weight() ? rotate_back(gradient, spec.rotation) : gradient;
}

at::Tensor quantize_input(const at::Tensor& x, const LinearSpec& spec) {
  const at::Tensor dense = rotate(x, spec.rotation);
  at::Tensor quantized = estimate(dense, spec.activation);
  if (spec.sparsity.kind == SparsityKind::kNone) {
    return quantized;
  }
  return sparsify(quantized, mask_of(dense, spec.sparsity), spec.sparsity.gradient);
}

InputCodes input_codes(const at::Tensor& x, const ActivationQuantSpec& spec) {
  const c10::NoGradGuard no_grad;
  const int64_t end = (int64_t{1} << (spec.bits - 1)) - 1;
  constexpr int64_t kLargestE2m1 = 12;  // 2 * 6
  switch (spec.scheme) {
    case ActivationScheme::kNone:
    case ActivationScheme::kB1:
    case ActivationScheme::kB1Shifted:
      return {};
    case ActivationScheme::kAbsmax: {
      const ops::Codes q =
          ops::quantize_absmax(rows_of(x.detach(), spec.granularity), spec.bits, spec.eps);
      std::vector<int64_t> tokens = x.sizes().vec();
      tokens.back() = 1;
      const bool whole = spec.granularity == Granularity::kTensor;
      return {q.codes.view(x.sizes()), whole ? q.scale.expand(tokens) : q.scale, end};
    }
    case ActivationScheme::kAbsmean: {
      const ops::Codes q =
          ops::quantize_act_absmean(x.detach(), spec.bits, spec.multiplier, spec.eps);
      return {q.codes, q.scale.reciprocal(), end};
    }
    case ActivationScheme::kFp4: {
      const ops::Codes q = ops::quantize_fp4(x.detach());
      return {q.codes, q.scale.reciprocal(), kLargestE2m1};
    }
  }
  return {};
}

InputHealth input_health(const at::Tensor& x, const at::Tensor& quantized, const LinearSpec& spec) {
  const c10::NoGradGuard no_grad;
  const auto share = [](const at::Tensor& condition) {
    return condition.sum().item<double>() / static_cast<double>(condition.numel());
  };
  InputHealth health{.clip_share = {}, .zero_share = share(quantized.detach().eq(0))};
  const InputCodes q = input_codes(rotate(x.detach(), spec.rotation), spec.activation);
  if (q.codes.defined()) {
    // Codes are widened because abs(-128) does not fit int8.
    health.clip_share = share(q.codes.to(at::kShort).abs().ge(q.end));
  }
  return health;
}

}  // namespace setun
