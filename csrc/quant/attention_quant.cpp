#include "quant/attention_quant.h"

#include <ATen/ops/where.h>

#include "base/error.h"
#include "ops/ops.h"
#include "quant/estimators/ste.h"

namespace setun {
namespace {

at::Tensor at_bits(const at::Tensor& x, int64_t bits, const AttentionQuantOptions& options) {
  if (bits == 0) {
    return x;
  }
  switch (options.scheme) {
    case HeadScheme::kSymmetric:
      return ops::fake_quantize_kv(x, bits, options.eps);
    case HeadScheme::kAsymmetric:
      return ops::fake_quantize_kv_asymmetric(x, bits, options.eps);
  }
  SETUN_ASSERT(false, "unknown scheme");
  return x;
}

}  // namespace

at::Tensor fake_quantize_heads(const at::Tensor& x_BHTD, int64_t bits, const at::Tensor& first_BT,
                               const AttentionQuantOptions& options) {
  if (bits == 0) {
    return x_BHTD;
  }
  return straight_through(x_BHTD, [&](const at::Tensor& x) {
    const at::Tensor x_BTHD = x.transpose(1, 2);  // the layout that projections leave: no copy
    at::Tensor value = at_bits(x_BTHD, bits, options);
    if (first_BT.defined() && options.first_token_bits != bits) {
      value = at::where(first_BT.unsqueeze(2).unsqueeze(3),
                        at_bits(x_BTHD, options.first_token_bits, options), value);
    }
    return value.transpose(1, 2);
  });
}

}  // namespace setun
