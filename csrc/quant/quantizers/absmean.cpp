#include "quant/quantizers/absmean.h"

#include "base/error.h"
#include "ops/ops.h"

namespace setun {
namespace {

// Columns per scale in the operator's convention: 0 is the whole tensor.
int64_t columns_per_scale(const WeightQuantSpec& spec, int64_t columns) {
  switch (spec.granularity) {
    case Granularity::kTensor:
      return 0;
    case Granularity::kRow:
      return columns;
    case Granularity::kGroup:
      return spec.group_size;
    case Granularity::kToken:
      break;  // refused by WeightQuantSpec::validate
  }
  SETUN_ASSERT(false, "a weight has no tokens");
  return 0;
}

}  // namespace

QuantizedWeight quantize_weight_absmean(const at::Tensor& latent_OI, const WeightQuantSpec& spec) {
  ops::Codes q =
      ops::quantize_absmean(latent_OI, columns_per_scale(spec, latent_OI.size(1)), spec.eps);
  at::Tensor value = ops::dequantize_absmean(q);
  return {std::move(q.codes), std::move(q.scale), std::move(value)};
}

}  // namespace setun
