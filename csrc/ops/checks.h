// Argument checks shared by the CPU and Meta kernels of an operator: shapes, types, ranges; each
// message says what was expected and what came.
#pragma once

#include <ATen/core/Tensor.h>

#include <cmath>
#include <optional>
#include <vector>

#include "ops/cpu/ternary_layout.h"

namespace setun::ops {

inline void check_float_rows(const char* op, const at::Tensor& x) {
  TORCH_CHECK(x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16 ||
                  x.scalar_type() == at::kHalf,
              op, ": expected a fp32, bf16 or fp16 tensor, got ", x.scalar_type());
  TORCH_CHECK(x.dim() >= 1 && x.size(-1) > 0, op,
              ": expected at least one dimension with a last one of at least 1, got shape ",
              x.sizes());
}

// Below 1e-30 a zero row's multiplier, 127 / eps, comes near the end of fp32's range.
inline void check_eps(const char* op, double eps) {
  TORCH_CHECK(eps >= 1e-30 && std::isfinite(eps), op,
              ": eps must be positive, 1e-30 at the least, got ", eps);
}

inline void check_absmax(const char* op, const at::Tensor& x, int64_t bits, double eps) {
  check_float_rows(op, x);
  TORCH_CHECK(bits >= 2 && bits <= 8, op, ": bits must be 2 to 8, got ", bits);
  check_eps(op, eps);
}

// Qp = 2^(bits-1) - 1.
inline float largest_code(int64_t bits) {
  return static_cast<float>((int64_t{1} << (bits - 1)) - 1);
}

inline void check_act_absmean(const char* op, const at::Tensor& x, int64_t bits, double multiplier,
                              double eps) {
  check_absmax(op, x, bits, eps);
  TORCH_CHECK(multiplier > 0 && std::isfinite(multiplier), op,
              ": multiplier must be positive, got ", multiplier);
}

// Weights: `group` is the columns per scale, 0 one scale for the whole tensor.
inline void check_weight(const char* op, const at::Tensor& w, int64_t group) {
  check_float_rows(op, w);
  TORCH_CHECK(w.dim() == 2, op, ": expected a weight [out, in], got shape ", w.sizes());
  TORCH_CHECK(w.numel() > 0, op, ": the weight has no element, shape ", w.sizes());
  TORCH_CHECK(group >= 0 && (group == 0 || w.size(1) % group == 0), op, ": group ", group,
              " does not divide the ", w.size(1), " input columns");
}

inline void check_ternary(const char* op, const at::Tensor& w, int64_t group, double eps) {
  check_weight(op, w, group);
  check_eps(op, eps);
}

inline void check_stochastic(const char* op, const at::Tensor& w, const at::Tensor& u,
                             int64_t group, double eps) {
  check_ternary(op, w, group, eps);
  TORCH_CHECK(u.scalar_type() == at::kFloat && u.sizes() == w.sizes(), op,
              ": expected fp32 draws of the weight's shape ", w.sizes(), ", got ", u.scalar_type(),
              " ", u.sizes());
}

// Shape of a weight's scale.
inline std::vector<int64_t> weight_scale_shape(const at::Tensor& w, int64_t group) {
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

inline void check_hadamard(const at::Tensor& x, int64_t block) {
  check_float_rows("hadamard", x);
  TORCH_CHECK(block >= 1 && (block & (block - 1)) == 0,
              "hadamard: block must be a power of two, got ", block);
  TORCH_CHECK(x.size(-1) % block == 0, "hadamard: block ", block,
              " does not divide the last dimension of ", x.size(-1),
              "; its largest power of two is ", x.size(-1) & -x.size(-1));
}

inline void check_topk_mask(const at::Tensor& x, int64_t k) {
  check_float_rows("topk_mask", x);
  TORCH_CHECK(k >= 1 && k <= x.size(-1), "topk_mask: k must be 1 to ", x.size(-1),
              ", the last dimension, got ", k);
}

inline std::vector<int64_t> mask_words(at::IntArrayRef shape) {
  std::vector<int64_t> words = shape.vec();
  words.back() = (words.back() + 31) / 32;
  return words;
}

inline void check_pack_mask(const at::Tensor& keep) {
  TORCH_CHECK(keep.scalar_type() == at::kBool && keep.dim() >= 1,
              "pack_mask: expected a bool mask [..., K], got ", keep.scalar_type(), " ",
              keep.sizes());
}

inline void check_apply_mask(const at::Tensor& x, const at::Tensor& bits) {
  TORCH_CHECK((x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16) && x.dim() >= 1,
              "apply_mask: expected fp32 or bf16 x [..., K], got ", x.scalar_type(), " ",
              x.sizes());
  const std::vector<int64_t> words = mask_words(x.sizes());
  TORCH_CHECK(bits.scalar_type() == at::kInt && bits.sizes() == at::IntArrayRef(words),
              "apply_mask: expected int32 bits of pack_mask ", at::IntArrayRef(words), ", got ",
              bits.scalar_type(), " ", bits.sizes());
}

inline void check_nm_mask(const at::Tensor& x, int64_t n, int64_t m) {
  check_float_rows("nm_mask", x);
  TORCH_CHECK(m >= 1 && x.size(-1) % m == 0, "nm_mask: m ", m,
              " does not divide the last dimension of ", x.size(-1));
  TORCH_CHECK(n >= 1 && n <= m, "nm_mask: n must be 1 to m = ", m, ", got ", n);
}

inline void check_rms_norm(const at::Tensor& x, const std::optional<at::Tensor>& gain, double eps) {
  check_float_rows("rms_norm", x);
  TORCH_CHECK(eps > 0 && std::isfinite(eps), "rms_norm: eps must be positive, got ", eps);
  TORCH_CHECK(!gain || (gain->scalar_type() == at::kFloat && gain->dim() == 1 &&
                        gain->size(0) == x.size(-1)),
              "rms_norm: expected a fp32 gain [", x.size(-1), "], got ",
              gain ? gain->sizes() : at::IntArrayRef{});
}

// `bytes`: of the matrix in the layout of the kernel's device.
inline void check_packed(const char* op, const at::Tensor& packed, int64_t rows, int64_t columns,
                         int64_t bytes) {
  TORCH_CHECK(rows >= 1 && columns >= 1 && columns <= cpu::kMaxColumns, op,
              ": expected at least one row and 1 to ", cpu::kMaxColumns, " columns, got ", rows,
              " x ", columns);
  TORCH_CHECK(packed.scalar_type() == at::kByte && packed.dim() == 1 && packed.numel() == bytes, op,
              ": expected ", bytes, " bytes packed by pack_ternary (", rows, " x ", columns,
              " codes), got ", packed.scalar_type(), " ", packed.sizes());
}

inline void check_packed(const char* op, const at::Tensor& packed, int64_t rows, int64_t columns) {
  check_packed(op, packed, rows, columns, cpu::packed_bytes(rows, columns));
}

inline void check_pack_ternary(const at::Tensor& codes) {
  TORCH_CHECK(codes.scalar_type() == at::kChar && codes.dim() == 2 && codes.numel() > 0 &&
                  codes.size(1) <= cpu::kMaxColumns,
              "pack_ternary: expected int8 codes [out, in] with in at most ", cpu::kMaxColumns,
              ", got ", codes.scalar_type(), " ", codes.sizes());
}

inline void check_code_type(const char* op, at::ScalarType dtype) {
  TORCH_CHECK(dtype == at::kChar || dtype == at::kFloat || dtype == at::kBFloat16, op,
              ": dtype must be int8, float32 or bfloat16, got ", dtype);
}

// A known scale of a weight: [1, 1] or [O, G] with G a divisor of the columns.
inline void check_quantize_pack_scaled(const at::Tensor& w, const at::Tensor& scale) {
  check_weight("quantize_pack_scaled", w, 0);
  TORCH_CHECK(scale.scalar_type() == at::kFloat && scale.dim() == 2 &&
                  (scale.numel() == 1 || (scale.size(0) == w.size(0) && scale.size(1) > 0 &&
                                          w.size(1) % scale.size(1) == 0)),
              "quantize_pack_scaled: expected a fp32 scale [1, 1] or [", w.size(0),
              ", groups], got ", scale.scalar_type(), " ", scale.sizes());
}

inline void check_rms_norm_quantize(const at::Tensor& x, const std::optional<at::Tensor>& gain,
                                    double norm_eps, int64_t bits, double eps, int64_t block) {
  check_rms_norm(x, gain, norm_eps);
  check_absmax("rms_norm_quantize", x, bits, eps);
  if (block != 0) {
    check_hadamard(x, block);
  }
}

inline void check_gradient_rows(const at::Tensor& dy) {
  check_float_rows("quantize_gradient_rows", dy);
}

inline void check_pack_int4(const at::Tensor& codes) {
  TORCH_CHECK(codes.scalar_type() == at::kChar && codes.dim() >= 1 && codes.size(-1) > 0,
              "pack_int4: expected int8 codes [..., K] of -8 to 7, got ", codes.scalar_type(), " ",
              codes.sizes());
}

inline void check_unpack_int4(const at::Tensor& packed, int64_t columns) {
  TORCH_CHECK(packed.scalar_type() == at::kByte && packed.dim() >= 1 && columns >= 1 &&
                  packed.size(-1) == (columns + 1) / 2,
              "unpack_int4: expected uint8 [..., ", (columns + 1) / 2, "] for ", columns,
              " columns, got ", packed.scalar_type(), " ", packed.sizes());
}

// The arguments of ternary_linear that are tensors of rows: codes [..., K], scale [..., 1],
// row_sums
// [...], residual [..., O].
inline void check_ternary_linear(const at::Tensor& codes, const at::Tensor& scale,
                                 const at::Tensor& row_sums, const at::Tensor& packed, int64_t rows,
                                 int64_t columns, const at::Tensor& w_scale, at::ScalarType dtype,
                                 const std::optional<at::Tensor>& residual, int64_t bytes) {
  const char* op = "ternary_linear";
  check_packed(op, packed, rows, columns, bytes);
  if (codes.scalar_type() == at::kByte) {
    check_unpack_int4(codes, columns);
  } else {
    TORCH_CHECK(codes.scalar_type() == at::kChar && codes.dim() >= 1 && codes.size(-1) == columns,
                op, ": expected int8 codes [..., ", columns, "], or uint8 ones of pack_int4, got ",
                codes.scalar_type(), " ", codes.sizes());
  }
  const auto outer = codes.sizes().slice(0, codes.dim() - 1);
  TORCH_CHECK(scale.scalar_type() == at::kFloat && scale.dim() == codes.dim() &&
                  scale.size(-1) == 1 && scale.sizes().slice(0, scale.dim() - 1) == outer,
              op, ": expected a fp32 scale [..., 1] for codes of shape ", codes.sizes(), ", got ",
              scale.scalar_type(), " ", scale.sizes());
  TORCH_CHECK(row_sums.scalar_type() == at::kInt && row_sums.sizes() == outer, op,
              ": expected int32 row_sums ", outer, ", got ", row_sums.scalar_type(), " ",
              row_sums.sizes());
  TORCH_CHECK(w_scale.scalar_type() == at::kFloat && w_scale.dim() == 2 &&
                  (w_scale.numel() == 1 || (w_scale.size(0) == rows && w_scale.size(1) > 0 &&
                                            columns % w_scale.size(1) == 0)),
              op, ": expected a fp32 w_scale [1, 1] or [", rows, ", groups], got ",
              w_scale.scalar_type(), " ", w_scale.sizes());
  TORCH_CHECK(dtype == at::kFloat || dtype == at::kBFloat16, op,
              ": dtype must be float32 or bfloat16, got ", dtype);
  std::vector<int64_t> shape = codes.sizes().vec();
  shape.back() = rows;
  TORCH_CHECK(!residual || ((residual->scalar_type() == at::kFloat ||
                             residual->scalar_type() == at::kBFloat16) &&
                            residual->sizes() == shape),
              op, ": expected a fp32 or bf16 residual ", at::IntArrayRef(shape), ", got ",
              residual ? residual->scalar_type() : at::kFloat, " ",
              residual ? residual->sizes() : at::IntArrayRef{});
}

inline void check_layer_norm(const at::Tensor& x, double eps) {
  check_float_rows("layer_norm", x);
  TORCH_CHECK(eps > 0 && std::isfinite(eps), "layer_norm: eps must be positive, got ", eps);
}

}  // namespace setun::ops
