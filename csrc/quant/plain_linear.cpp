#include "quant/plain_linear.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/linear.h>

#include "ops/few_rows_ops.h"

namespace setun {
namespace {

// LibTorch's product, which uses the processor's bf16 instructions, is the faster from here on.
constexpr int64_t kFewerRows = 8;
static_assert(kFewerRows <= ops::kFewRows);

bool has_few_rows(const at::Tensor& x, const at::Tensor& weight) {
  return !c10::GradMode::is_enabled() && weight.scalar_type() == at::kBFloat16 &&
         weight.device().is_cpu() && x.numel() <= kFewerRows * weight.size(1);
}

}  // namespace

at::Tensor plain_linear(const at::Tensor& x_in, const at::Tensor& weight_OI,
                        const at::Tensor& bias) {
  const at::Tensor x = x_in.to(weight_OI.scalar_type());
  if (has_few_rows(x, weight_OI)) {
    const at::Tensor y = ops::few_rows_linear(x, weight_OI, weight_OI.scalar_type());
    return bias.defined() ? y + bias.to(y.scalar_type()) : y;
  }
  return at::linear(
      x, weight_OI,
      bias.defined() ? std::optional(bias.to(weight_OI.scalar_type())) : std::nullopt);
}

}  // namespace setun
