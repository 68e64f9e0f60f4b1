// Shapes and types of the step's operators without data: their Meta kernels.
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include <tuple>

#include "ops/step_checks.h"

namespace setun::ops {
namespace {

at::Tensor gated_activation(const at::Tensor& gate, const at::Tensor& up,
                            c10::string_view activation) {
  check_gated("gated_activation", gate, up, activation);
  return at::empty(gate.sizes(), gate.options());
}

std::tuple<at::Tensor, at::Tensor> gated_activation_backward(const at::Tensor& grad,
                                                             const at::Tensor& gate,
                                                             const at::Tensor& up,
                                                             c10::string_view activation) {
  check_gated("gated_activation_backward", gate, up, activation);
  check_alike("gated_activation_backward", "grad", grad, gate);
  return {at::empty(gate.sizes(), gate.options()), at::empty(gate.sizes(), gate.options())};
}

at::Tensor rope(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin, bool) {
  check_rope(x, cos, sin);
  return at::empty_like(x);
}

using OptionalTensor = std::optional<at::Tensor>;

at::Tensor empty_heads(const at::Tensor& x) {
  return at::empty({x.size(0), x.size(2), x.size(1), x.size(3)}, x.options()).transpose(1, 2);
}

std::tuple<at::Tensor, at::Tensor> causal_attention_forward(const at::Tensor& q,
                                                            const at::Tensor& k,
                                                            const at::Tensor& v,
                                                            const OptionalTensor& first) {
  check_causal_attention(q, k, v, first);
  return {empty_heads(q), at::empty(q.sizes().slice(0, 3), q.options().dtype(at::kFloat))};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> causal_attention_backward(
    const at::Tensor& grad, const at::Tensor& out, const at::Tensor&, const at::Tensor& q,
    const at::Tensor& k, const at::Tensor& v, const OptionalTensor& first) {
  check_causal_attention(q, k, v, first);
  check_alike("causal_attention_backward", "grad", grad, q);
  check_alike("causal_attention_backward", "out", out, q);
  return {empty_heads(q), empty_heads(k), empty_heads(v)};
}

at::Tensor causal_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const OptionalTensor& first) {
  return std::get<0>(causal_attention_forward(q, k, v, first));
}

at::Tensor cross_entropy_rows(const at::Tensor& logits, const at::Tensor& targets) {
  check_cross_entropy_rows(logits, targets);
  return at::empty(targets.sizes(), logits.options().dtype(at::kFloat));
}

at::Tensor cross_entropy_rows_(at::Tensor& logits, const at::Tensor& targets) {
  return cross_entropy_rows(logits, targets);
}

at::Tensor fp32_like(const at::Tensor& like) {
  return at::empty(like.sizes(), like.options().dtype(at::kFloat));
}

at::Tensor counter_uniform_like(const at::Tensor& like, int64_t) { return fp32_like(like); }

at::Tensor dropout_mask(const at::Tensor& like, double probability, int64_t) {
  check_draws("dropout_mask", probability);
  return fp32_like(like);
}

at::Tensor sum_of_squares(const at::Tensor& x) {
  check_sum_of_squares(x);
  return at::empty({}, x.options().dtype(at::kDouble));
}

void adamw_(const at::Tensor& p, const at::Tensor& grad, const at::Tensor& m, const at::Tensor& v,
            const at::Tensor& factors) {
  check_adamw(p, grad, m, v, factors);
}

// The size of the packed codes is the device's own.
void adamw_ternary_(const at::Tensor& p, const at::Tensor& grad, const at::Tensor& m,
                    const at::Tensor& v, const at::Tensor& factors, double eps,
                    const at::Tensor& scale, const at::Tensor& packed) {
  check_adamw(p, grad, m, v, factors);
  check_adamw_ternary(p, eps, scale, packed, packed.numel());
}

}  // namespace

TORCH_LIBRARY_IMPL(setun, Meta, m) {
  m.impl("counter_uniform_like", counter_uniform_like);
  m.impl("dropout_mask", dropout_mask);
  m.impl("sum_of_squares", sum_of_squares);
  m.impl("adamw_", adamw_);
  m.impl("adamw_ternary_", adamw_ternary_);
  m.impl("gated_activation", gated_activation);
  m.impl("gated_activation_backward", gated_activation_backward);
  m.impl("rope", rope);
  m.impl("causal_attention", causal_attention);
  m.impl("causal_attention_forward", causal_attention_forward);
  m.impl("causal_attention_backward", causal_attention_backward);
  m.impl("cross_entropy_rows", cross_entropy_rows);
  m.impl("cross_entropy_rows_", cross_entropy_rows_);
}

}  // namespace setun::ops
