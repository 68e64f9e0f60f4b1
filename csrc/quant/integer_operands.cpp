#include "quant/integer_operands.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_strided.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "base/error.h"
#include "ops/dispatch.h"
#include "ops/step_ops.h"
#include "quant/fake_quantize.h"
#include "quant/quantizers/sparsity.h"
#include "quant/quantizers/weight_codes.h"
#include "quant/rotation.h"

namespace setun {
namespace {

using OptionalTensor = std::optional<at::Tensor>;  // a Function takes no undefined tensor
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor make_edge(const at::Tensor& like, at::ScalarType compute) {
  const std::vector<int64_t> strides(static_cast<std::size_t>(like.dim()), 0);
  return at::empty_strided(like.sizes(), strides, like.options().dtype(compute));
}

// RMSNorm, rotation and absmax in one pass: the spec fits the fused operator.
bool fuses(const LinearInput& input, const LinearSpec& spec) {
  const ActivationQuantSpec& a = spec.activation;
  return input.norm && input.norm->kind == NormKind::kRms &&
         a.scheme == ActivationScheme::kAbsmax && a.granularity == Granularity::kToken &&
         spec.sparsity.kind == SparsityKind::kNone && !spec.rotation.signs;
}

int64_t hadamard_block(const RotationSpec& spec, int64_t width) {
  return spec.kind == RotationKind::kHadamard ? spec.resolved_block(width) : 0;
}

// Backward: the gradient of the quantized input, straight through, back through rotation and norm.
// The norm's input is kept, or made again from where it came from.
struct NormedEdge : torch::autograd::Function<NormedEdge> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const OptionalTensor& gain,
                            const at::Tensor& factor, int64_t block, at::ScalarType compute,
                            const std::optional<GatedSource>& source) {
    variable_list kept = {gain.value_or(at::Tensor()), factor};
    if (source) {
      kept.insert(kept.end(), {source->gate.detach(), source->up.detach()});
      ctx->saved_data["activation"] = static_cast<int64_t>(source->kind);
    } else {
      kept.push_back(x);
    }
    ctx->save_for_backward(std::move(kept));
    ctx->saved_data["block"] = block;
    return make_edge(x, compute);
  }
  static at::Tensor norm_input(AutogradContext* ctx, const variable_list& saved) {
    if (saved.size() == 3) {
      return saved[2];
    }
    const auto kind = static_cast<GatedKind>(ctx->saved_data["activation"].toInt());
    return ops::gated_activation(saved[2], saved[3], kind);
  }
  static variable_list backward(AutogradContext* ctx, variable_list upstream) {
    const variable_list saved = ctx->get_saved_variables();
    const int64_t block = ctx->saved_data["block"].toInt();
    const at::Tensor grad = block > 0 ? ops::hadamard(upstream[0], block) : upstream[0];
    ops::RmsNormGradient norm =
        ops::rms_norm_backward(grad, norm_input(ctx, saved), saved[0], saved[1]);
    return {norm.x, saved[0].defined() ? norm.gain : at::Tensor(), {}, {}, {}, {}};
  }
};

// Backward: straight through; the mask only where the spec says so, the factor as a constant.
struct DenseEdge : torch::autograd::Function<DenseEdge> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& dense,
                            const OptionalTensor& mask, const OptionalTensor& factor,
                            at::ScalarType compute) {
    const at::Tensor bits = mask ? ops::pack_mask(*mask) : at::Tensor();
    ctx->save_for_backward({bits, factor.value_or(at::Tensor())});
    return make_edge(dense, compute);
  }
  static variable_list backward(AutogradContext* ctx, variable_list upstream) {
    const variable_list saved = ctx->get_saved_variables();
    at::Tensor grad = upstream[0];
    if (saved[1].defined()) {
      grad = grad * saved[1];
    }
    return {saved[0].defined() ? ops::apply_mask(grad, saved[0]) : grad, {}, {}, {}};
  }
};

// What is kept for backward is half as large, and products read it as it is.
ops::RowCodes packed_to_4_bits(ops::RowCodes rows, const ActivationQuantSpec& spec) {
  if (spec.scheme != ActivationScheme::kFp4 && spec.bits <= 4) {
    rows.codes = ops::pack_int4(rows.codes);
  }
  return rows;
}

IntegerInput fused_input(const LinearInput& input, const LinearSpec& spec, at::ScalarType compute) {
  const InputNorm& norm = *input.norm;
  const int64_t block = hadamard_block(spec.rotation, input.x.size(-1));
  ops::NormedRowCodes q;
  {
    const c10::NoGradGuard no_grad;
    q = ops::rms_norm_quantize(input.x, norm.gain, norm.eps, spec.activation.bits,
                               spec.activation.eps, block);
  }
  IntegerInput made{packed_to_4_bits(std::move(q.rows), spec.activation), {}};
  if (c10::GradMode::is_enabled()) {
    made.edge =
        NormedEdge::apply(input.x, ops::present(norm.gain), q.factor, block, compute, input.source);
  }
  return made;
}

// Codes of the dense input, masked: what is 0 in the sparse one is 0 here.
ops::RowCodes masked_codes(const at::Tensor& dense, const LinearSpec& spec,
                           const SparsityMask& mask) {
  InputCodes q = input_codes(dense, spec.activation);
  at::Tensor codes = mask.keep.defined() ? q.codes.mul(mask.keep) : q.codes;
  at::Tensor multiplier =
      mask.factor.defined() ? q.multiplier.div(mask.factor) : std::move(q.multiplier);
  at::Tensor row_sums = codes.sum(-1, /*keepdim=*/false, at::kInt);
  return {std::move(codes), std::move(multiplier), std::move(row_sums)};
}

IntegerInput general_input(const LinearInput& input, const LinearSpec& spec,
                           at::ScalarType compute) {
  const at::Tensor dense = rotate(input.normed(), spec.rotation);
  const SparsitySpec& sparsity = spec.sparsity;
  IntegerInput made;
  SparsityMask mask;
  {
    const c10::NoGradGuard no_grad;
    const at::Tensor x = dense.detach();
    mask = sparsity_mask(x, sparsity);
    const ActivationQuantSpec& a = spec.activation;
    const bool plain = a.scheme == ActivationScheme::kAbsmax &&
                       a.granularity == Granularity::kToken && !mask.keep.defined();
    made.rows = packed_to_4_bits(
        plain ? ops::quantize_absmax_rows(x, a.bits, a.eps) : masked_codes(x, spec, mask), a);
  }
  if (c10::GradMode::is_enabled()) {
    const bool masked = sparsity.gradient == SparsityGradient::kMasked;
    made.edge = DenseEdge::apply(dense, masked ? ops::present(mask.keep) : std::nullopt,
                                 ops::present(mask.factor), compute);
  }
  return made;
}

}  // namespace

IntegerInput integer_input(const LinearInput& input, const LinearSpec& spec,
                           at::ScalarType compute) {
  SETUN_ASSERT(spec.has_integer_form(), "integer_input of a spec without integer codes");
  return fuses(input, spec) ? fused_input(input, spec, compute)
                            : general_input(input, spec, compute);
}

IntegerWeight integer_weight(const at::Tensor& latent_OI, const LinearSpec& spec,
                             const IntegerWeightOptions& options) {
  SETUN_ASSERT(spec.has_integer_form(), "integer_weight of a spec without integer codes");
  const c10::NoGradGuard no_grad;
  const at::Tensor latent = latent_OI.detach();
  const at::Tensor w = spec.rotation.rotates_weight() ? rotate(latent, spec.rotation) : latent;
  IntegerWeight made;
  if (const auto group = packing_group(spec.weight, w.size(1))) {
    const bool known = options.known.scale.defined() && *group == 0 && w.is_same(latent);
    ops::PackedWeight q =
        known ? options.known : ops::quantize_pack_absmean(w, *group, spec.weight.eps);
    made.packed = std::move(q.codes);
    made.scale = std::move(q.scale);
  } else {
    ops::Codes q = weight_codes(w, spec.weight, options.draws_key);
    made.packed = ops::pack_ternary(q.codes);
    made.scale = std::move(q.scale);
  }
  if (options.with_transposed) {
    made.transposed = ops::transpose_ternary(made.packed);
  }
  return made;
}

}  // namespace setun
