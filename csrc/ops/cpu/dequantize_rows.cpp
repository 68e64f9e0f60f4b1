// The values of row codes in a product's type, one pass; other devices compose it.
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include "ops/checks.h"
#include "ops/cpu/element_rows.h"
#include "ops/cpu/step_kernels.h"
#include "ops/step_checks.h"

namespace setun::ops::cpu {
namespace {

at::Tensor dequantize_rows(const at::Tensor& codes_in, const at::Tensor& scale_in,
                           at::ScalarType dtype) {
  check_dequantize_rows(codes_in, scale_in, dtype);
  const at::Tensor codes = codes_in.contiguous(), scale = scale_in.contiguous();
  at::Tensor y = at::empty(codes.sizes(), codes.options().dtype(dtype));
  if (y.numel() == 0) {
    return y;
  }
  const int64_t k = codes.size(-1);
  const auto* in = codes.const_data_ptr<int8_t>();
  const auto* multiplier = scale.const_data_ptr<float>();
  const OutRows out(y);
  const StepKernels& kernels = step_kernels();
  for_rows(codes.numel() / k, k,
           [&](int64_t row) { kernels.dequantize(in + row * k, k, multiplier[row], out[row]); });
  return y;
}

at::Tensor composite(const at::Tensor& codes, const at::Tensor& scale, at::ScalarType dtype) {
  check_dequantize_rows(codes, scale, dtype);
  return codes.to(at::kFloat).div_(scale).to(dtype);
}

}  // namespace

TORCH_LIBRARY_IMPL(setun, CPU, m) { m.impl("dequantize_rows", dequantize_rows); }
TORCH_LIBRARY_IMPL(setun, CompositeExplicitAutograd, m) { m.impl("dequantize_rows", composite); }

}  // namespace setun::ops::cpu
