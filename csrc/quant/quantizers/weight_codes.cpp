// absmean (2402.17764 eq. 1-3), its stochastic form and absmedian (2407.09527), binary (2310.11453
// eq. 1-3, parts: eq. 12-15).
#include "quant/quantizers/weight_codes.h"

#include <ATen/core/Tensor.h>

#include "base/error.h"
#include "ops/ops.h"
#include "ops/step_ops.h"

namespace setun {
namespace {

// Columns per scale in the operators' convention: 0 is the whole tensor.
int64_t columns_per_scale(const WeightQuantSpec& spec, int64_t columns) {
  switch (spec.granularity) {
    case Granularity::kTensor:
      return 0;
    case Granularity::kRow:
      return columns;
    case Granularity::kGroup:
      return spec.group_size;
    case Granularity::kPart:
    case Granularity::kToken:
      break;  // parts are rows of another view; tokens are refused by WeightQuantSpec::validate
  }
  SETUN_ASSERT(false, "granularity ", enum_name(spec.granularity), " has no columns per scale");
  return 0;
}

ops::Codes encode(const at::Tensor& w, const WeightQuantSpec& spec, int64_t group, uint64_t key) {
  switch (spec.scheme) {
    case WeightScheme::kNone:
      break;
    case WeightScheme::kAbsmean:
      if (spec.rounding == Rounding::kStochastic) {
        const at::Tensor draws = ops::counter_uniform_like(w, static_cast<int64_t>(key));
        return ops::quantize_absmean_stochastic(w, draws, group, spec.eps);
      }
      return ops::quantize_absmean(w, group, spec.eps);
    case WeightScheme::kAbsmedian:
      return ops::quantize_absmedian(w, group, spec.eps);
    case WeightScheme::kBinary:
      return ops::quantize_binary(w, group);
  }
  SETUN_ASSERT(false, "a weight scheme without codes");
  return {};
}

QuantizedWeight dequantized(ops::Codes q) {
  at::Tensor value = ops::dequantize_absmean(q);
  return {std::move(q.codes), std::move(q.scale), std::move(value)};
}

// Every part becomes a row: parts of rows are rows of a view, parts of columns of a permuted one.
QuantizedWeight quantize_parts(const at::Tensor& w, const WeightQuantSpec& spec, uint64_t key) {
  const int64_t out = w.size(0), in = w.size(1), parts = spec.parts;
  const bool rows = spec.parts_axis == PartAxis::kRows;
  SETUN_ASSERT((rows ? out : in) % parts == 0, parts, " parts of a weight ", w.sizes());
  if (rows) {
    const at::Tensor view = w.contiguous().view({parts, out / parts * in});
    QuantizedWeight q = dequantized(encode(view, spec, view.size(1), key));
    return {q.codes.view({out, in}), q.scale, q.value.view({out, in})};
  }
  const int64_t width = in / parts;
  const at::Tensor view =
      w.reshape({out, parts, width}).transpose(0, 1).reshape({parts, out * width});
  const QuantizedWeight q = dequantized(encode(view, spec, view.size(1), key));
  const auto back = [&](const at::Tensor& t) {
    return t.view({parts, out, width}).transpose(0, 1).reshape({out, in});
  };
  return {back(q.codes), q.scale, back(q.value)};
}

// The scales of parts as rows and groups have them: parts of rows are runs of rows that share one,
// parts of columns are groups that all rows share.
at::Tensor spread_parts(const at::Tensor& scale, const WeightQuantSpec& spec, int64_t rows) {
  const at::Tensor parts = scale.reshape({-1});
  return spec.parts_axis == PartAxis::kRows
             ? parts.repeat_interleave(rows / spec.parts).unsqueeze(1)
             : parts.unsqueeze(0).expand({rows, spec.parts}).contiguous();
}

}  // namespace

ops::Codes weight_codes(const at::Tensor& w_OI, const WeightQuantSpec& spec, uint64_t draws_key) {
  if (spec.granularity == Granularity::kPart) {
    const QuantizedWeight q = quantize_parts(w_OI, spec, draws_key);
    return {q.codes, spread_parts(q.scale, spec, w_OI.size(0))};
  }
  return encode(w_OI, spec, columns_per_scale(spec, w_OI.size(1)), draws_key);
}

std::optional<int64_t> packing_group(const WeightQuantSpec& spec, int64_t columns) {
  if (spec.scheme != WeightScheme::kAbsmean || spec.rounding != Rounding::kNearest ||
      spec.granularity == Granularity::kPart) {
    return std::nullopt;
  }
  return columns_per_scale(spec, columns);
}

QuantizedWeight quantize_weight_codes(const at::Tensor& w_OI, const WeightQuantSpec& spec,
                                      uint64_t draws_key) {
  if (spec.granularity == Granularity::kPart) {
    return quantize_parts(w_OI, spec, draws_key);
  }
  return dequantized(encode(w_OI, spec, columns_per_scale(spec, w_OI.size(1)), draws_key));
}

}  // namespace setun
