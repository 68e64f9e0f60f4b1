// Argument checks shared by the CPU and Meta kernels of an operator: shapes, types, ranges; each
// message says what was expected and what came.
#pragma once

#include <ATen/core/Tensor.h>

#include <cmath>

namespace setun::ops {

inline void check_float_rows(const char* op, const at::Tensor& x) {
  TORCH_CHECK(x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16 ||
                  x.scalar_type() == at::kHalf,
              op, ": expected a fp32, bf16 or fp16 tensor, got ", x.scalar_type());
  TORCH_CHECK(x.dim() >= 1 && x.size(-1) > 0, op,
              ": expected at least one dimension with a last one of at least 1, got shape ",
              x.sizes());
}

inline void check_absmax(const char* op, const at::Tensor& x, int64_t bits, double eps) {
  check_float_rows(op, x);
  TORCH_CHECK(bits >= 2 && bits <= 8, op, ": bits must be 2 to 8, got ", bits);
  TORCH_CHECK(eps > 0 && std::isfinite(eps), op, ": eps must be positive, got ", eps);
}

// The columns per scale: `group`, or the whole row's width with group 0 (one scale for the tensor).
inline void check_absmean(const char* op, const at::Tensor& w, int64_t group, double eps) {
  check_float_rows(op, w);
  TORCH_CHECK(w.dim() == 2, op, ": expected a weight [out, in], got shape ", w.sizes());
  TORCH_CHECK(group >= 0 && (group == 0 || w.size(1) % group == 0), op, ": group ", group,
              " does not divide the ", w.size(1), " input columns");
  TORCH_CHECK(eps > 0 && std::isfinite(eps), op, ": eps must be positive, got ", eps);
}

// Shape of absmean's scale.
inline std::vector<int64_t> absmean_scale_shape(const at::Tensor& w, int64_t group) {
  return group == 0 ? std::vector<int64_t>{1, 1}
                    : std::vector<int64_t>{w.size(0), w.size(1) / group};
}

inline void check_absmean_codes(const char* op, const at::Tensor& codes, const at::Tensor& scale) {
  TORCH_CHECK(codes.scalar_type() == at::kChar && codes.dim() == 2, op,
              ": expected int8 codes [out, in], got ", codes.scalar_type(), " ", codes.sizes());
  TORCH_CHECK(scale.scalar_type() == at::kFloat && scale.dim() == 2, op,
              ": expected a fp32 scale of two dimensions, got ", scale.scalar_type(), " ",
              scale.sizes());
  const bool whole = scale.numel() == 1;
  TORCH_CHECK(whole || (scale.size(0) == codes.size(0) && codes.size(1) % scale.size(1) == 0), op,
              ": a scale of shape ", scale.sizes(), " does not fit codes of shape ", codes.sizes());
}

inline void check_absmax_codes(const char* op, const at::Tensor& codes, const at::Tensor& scale) {
  TORCH_CHECK(codes.scalar_type() == at::kChar && codes.dim() >= 1, op,
              ": expected int8 codes, got ", codes.scalar_type());
  TORCH_CHECK(
      scale.scalar_type() == at::kFloat && scale.dim() == codes.dim() && scale.size(-1) == 1 &&
          scale.sizes().slice(0, scale.dim() - 1) == codes.sizes().slice(0, codes.dim() - 1),
      op, ": expected a fp32 scale [..., 1] for codes of shape ", codes.sizes(), ", got ",
      scale.scalar_type(), " ", scale.sizes());
}

inline void check_rms_norm(const at::Tensor& x, const std::optional<at::Tensor>& gain, double eps) {
  check_float_rows("rms_norm", x);
  TORCH_CHECK(eps > 0 && std::isfinite(eps), "rms_norm: eps must be positive, got ", eps);
  TORCH_CHECK(!gain || (gain->scalar_type() == at::kFloat && gain->dim() == 1 &&
                        gain->size(0) == x.size(-1)),
              "rms_norm: expected a fp32 gain [", x.size(-1), "], got ",
              gain ? gain->sizes() : at::IntArrayRef{});
}

inline void check_layer_norm(const at::Tensor& x, double eps) {
  check_float_rows("layer_norm", x);
  TORCH_CHECK(eps > 0 && std::isfinite(eps), "layer_norm: eps must be positive, got ", eps);
}

}  // namespace setun::ops
