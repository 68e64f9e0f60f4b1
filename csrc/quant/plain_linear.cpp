#include "quant/plain_linear.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/linear.h>

#include "ops/few_rows_ops.h"

namespace setun {
namespace {

// LibTorch's product, which uses the processor's bf16 instructions, is the faster with more.
constexpr int64_t kFewerRows = 8;
static_assert(kFewerRows <= ops::kFewRows);

thread_local bool generates = false;

bool has_few_rows(const at::Tensor& x, const at::Tensor& weight) {
  const at::ScalarType type = weight.scalar_type();
  return generates && !c10::GradMode::is_enabled() && weight.device().is_cpu() &&
         (type == at::kFloat || type == at::kBFloat16) && x.numel() <= kFewerRows * weight.size(1);
}

}  // namespace

GenerationScope::GenerationScope(bool on) : before_(generates) { generates = generates || on; }
GenerationScope::~GenerationScope() { generates = before_; }

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
