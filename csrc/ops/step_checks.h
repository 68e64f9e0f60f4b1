// Argument checks of the step's operators, shared by their CPU and Meta kernels.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <optional>
#include <utility>

#include "ops/checks.h"
#include "ops/gated_kind.h"

namespace setun::ops {

inline void check_elements(const char* op, const char* name, const at::Tensor& x) {
  TORCH_CHECK(x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16, op,
              ": expected a fp32 or bf16 ", name, ", got ", x.scalar_type(),
              "; convert it with .to(at::kFloat)");
  TORCH_CHECK(x.dim() >= 1, op, ": expected at least one dimension of ", name, ", got a scalar");
}

inline void check_alike(const char* op, const char* name, const at::Tensor& x,
                        const at::Tensor& like) {
  TORCH_CHECK(x.sizes() == like.sizes() && x.scalar_type() == like.scalar_type(), op, ": expected ",
              name, " of shape ", like.sizes(), " and type ", like.scalar_type(), ", got ",
              x.sizes(), " ", x.scalar_type());
}

inline GatedKind check_gated(const char* op, const at::Tensor& gate, const at::Tensor& up,
                             c10::string_view activation) {
  check_elements(op, "gate", gate);
  check_alike(op, "up", up, gate);
  const auto kind = parse_enum<GatedKind>(std::string_view(activation.data(), activation.size()));
  TORCH_CHECK(kind.has_value(), op, ": unknown activation \"", activation,
              "\"; known: ", enum_list<GatedKind>());
  return *kind;
}

inline void check_rope(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
  check_elements("rope", "x", x);
  TORCH_CHECK(x.dim() == 4 && x.size(3) > 0 && x.size(3) % 2 == 0,
              "rope: expected x [B, H, T, D] with an even D, got shape ", x.sizes());
  const std::array<int64_t, 2> table = {x.size(2), x.size(3) / 2};
  for (const at::Tensor& t : {cos, sin}) {
    TORCH_CHECK(t.scalar_type() == at::kFloat && t.sizes() == at::IntArrayRef(table),
                "rope: expected fp32 tables [T, D / 2] = ", at::IntArrayRef(table), ", got ",
                t.scalar_type(), " ", t.sizes());
  }
}

inline void check_attention_shapes(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                   const std::optional<at::Tensor>& first) {
  constexpr const char* op = "causal_attention";
  TORCH_CHECK(q.dim() == 4 && k.dim() == 4 && q.size(3) > 0, op,
              ": expected q [B, H, T, D] and k [B, G, S, D], got shapes ", q.sizes(), " and ",
              k.sizes());
  check_alike(op, "v", v, k);
  TORCH_CHECK(k.scalar_type() == q.scalar_type() && k.size(0) == q.size(0) &&
                  k.size(3) == q.size(3) && k.size(1) > 0 && q.size(1) % k.size(1) == 0,
              op, ": expected k and v [", q.size(0), ", a divisor of ", q.size(1), ", S, ",
              q.size(3), "] of type ", q.scalar_type(), ", got ", k.sizes(), " ", k.scalar_type());
  TORCH_CHECK(k.size(2) >= q.size(2), op, ": expected at least as many keys as queries, got ",
              k.size(2), " and ", q.size(2));
  TORCH_CHECK(!first || (first->scalar_type() == at::kLong && first->dim() == 2 &&
                         (first->size(0) == q.size(0) || first->size(0) == 1) &&
                         first->size(1) == q.size(2)),
              op, ": expected int64 first keys [", q.size(0), " or 1, ", q.size(2), "], got ",
              first ? first->scalar_type() : at::kLong, " ",
              first ? first->sizes() : at::IntArrayRef());
}

inline void check_causal_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                   const std::optional<at::Tensor>& first) {
  check_elements("causal_attention", "q", q);
  check_attention_shapes(q, k, v, first);
}

inline void check_dequantize_rows(const at::Tensor& codes, const at::Tensor& scale,
                                  at::ScalarType dtype) {
  check_absmax_codes("dequantize_rows", codes, scale);
  TORCH_CHECK(dtype == at::kFloat || dtype == at::kBFloat16,
              "dequantize_rows: expected dtype fp32 or bf16, got ", dtype);
}

inline void check_cross_entropy_rows(const at::Tensor& logits, const at::Tensor& targets) {
  check_elements("cross_entropy_rows", "logits", logits);
  TORCH_CHECK(logits.dim() == 2 && logits.size(1) > 0,
              "cross_entropy_rows: expected logits [N, V], got shape ", logits.sizes());
  TORCH_CHECK(
      targets.scalar_type() == at::kLong && targets.dim() == 1 && targets.size(0) == logits.size(0),
      "cross_entropy_rows: expected int64 targets [", logits.size(0), "], got ",
      targets.scalar_type(), " ", targets.sizes());
}

inline void check_draws(const char* op, double probability) {
  TORCH_CHECK(probability >= 0 && probability < 1, op, ": probability must be in [0, 1), got ",
              probability);
}

inline void check_sum_of_squares(const at::Tensor& x) {
  TORCH_CHECK(x.scalar_type() == at::kFloat, "sum_of_squares: expected an fp32 tensor, got ",
              x.scalar_type());
}

inline void check_adamw(const at::Tensor& p, const at::Tensor& grad, const at::Tensor& m,
                        const at::Tensor& v, const at::Tensor& factors) {
  for (const auto& [name, t] : {std::pair("p", p), {"grad", grad}, {"m", m}, {"v", v}}) {
    TORCH_CHECK(t.scalar_type() == at::kFloat && t.is_contiguous() && t.sizes() == p.sizes() &&
                    t.device() == p.device(),
                "adamw_: expected a contiguous fp32 ", name, " ", p.sizes(), " on ", p.device(),
                ", got ", t.scalar_type(), " ", t.sizes(), " ", t.strides(), " on ", t.device());
  }
  TORCH_CHECK(factors.scalar_type() == at::kFloat && factors.sizes() == at::IntArrayRef{8} &&
                  factors.is_contiguous() && factors.device() == p.device(),
              "adamw_: expected 8 fp32 factors on ", p.device(), ", got ", factors.scalar_type(),
              " ", factors.sizes(), " on ", factors.device());
}

inline void check_adamw_ternary(const at::Tensor& p, double eps, const at::Tensor& scale,
                                const at::Tensor& packed, int64_t packed_bytes) {
  constexpr const char* op = "adamw_ternary_";
  check_ternary(op, p, 0, eps);
  check_packed(op, packed, p.size(0), p.size(1), packed_bytes);
  TORCH_CHECK(scale.scalar_type() == at::kFloat && scale.numel() == 1 &&
                  scale.device() == p.device() && packed.device() == p.device() &&
                  packed.is_contiguous(),
              op, ": expected a scale of one fp32 and contiguous packed codes on ", p.device(),
              ", got ", scale.scalar_type(), " ", scale.sizes(), " on ", scale.device());
}

}  // namespace setun::ops
