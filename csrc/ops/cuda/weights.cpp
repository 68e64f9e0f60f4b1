// Glue of the weight quantizers.
#include "cuda/weights.h"

#include <ATen/Functions.h>

#include <limits>

#include "ops/checks.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/ops_cuda.h"

namespace setun::ops::cuda {
namespace {

using setun::cuda::WeightRule;

struct Group {
  at::Tensor w, scale, centre;
  int64_t columns;
};

Group group_of(const at::Tensor& w_in, int64_t columns) {
  const at::Tensor w = kernel_input(w_in);
  at::Tensor scale = at::empty(weight_scale_shape(w, columns), w.options().dtype(at::kFloat));
  return {w, scale, at::empty_like(scale), columns};
}

void fill_scale(const char* op, const Group& g, WeightRule rule, double eps) {
  const at::Tensor partial =
      at::empty({setun::cuda::weight_workspace(g.w.numel())}, g.w.options().dtype(at::kFloat));
  const DeviceScope scope(g.w);
  check_launch(
      op, setun::cuda::weight_scale(
              {g.w.const_data_ptr(), g.w.scalar_type() == at::kBFloat16, g.w.size(0), g.w.size(1),
               g.columns, rule, static_cast<float>(eps), g.scale.data_ptr<float>(),
               g.centre.data_ptr<float>(), partial.data_ptr<float>()},
              scope.stream()));
}

at::Tensor codes_of(const char* op, const Group& g, WeightRule rule, const float* draws) {
  at::Tensor codes = at::empty(g.w.sizes(), g.w.options().dtype(at::kChar));
  const DeviceScope scope(g.w);
  check_launch(op, setun::cuda::ternary_codes(
                       {g.w.const_data_ptr(), g.w.scalar_type() == at::kBFloat16, g.w.size(0),
                        g.w.size(1), g.columns, rule, g.scale.const_data_ptr<float>(),
                        g.centre.const_data_ptr<float>(), draws, codes.data_ptr<int8_t>(), nullptr},
                       scope.stream()));
  return codes;
}

}  // namespace

at::Tensor absmean_scale(const char* op, const at::Tensor& w, int64_t group, double eps) {
  const Group g = group_of(w, group);
  fill_scale(op, g, WeightRule::kAbsmean, eps);
  return g.scale;
}

TensorPair quantize_absmean(const at::Tensor& w, int64_t group, double eps) {
  check_ternary("quantize_absmean", w, group, eps);
  const Group g = group_of(w, group);
  fill_scale("quantize_absmean", g, WeightRule::kAbsmean, eps);
  return {codes_of("quantize_absmean", g, WeightRule::kAbsmean, nullptr), g.scale};
}

// A selection, so LibTorch's may be used: every method gives the same element. Not kthvalue, which
// LibTorch refuses on CUDA where it may only use deterministic algorithms, as Setun does.
TensorPair quantize_absmedian(const at::Tensor& w, int64_t group, double eps) {
  check_ternary("quantize_absmedian", w, group, eps);
  const Group g = group_of(w, group);
  const int64_t length = group == 0 ? w.numel() : group;
  const at::Tensor magnitude = g.w.to(at::kFloat).abs().view({-1, length});
  const at::Tensor median = std::get<0>(magnitude.sort(1)).select(1, (length - 1) / 2);
  const at::Tensor finite = magnitude.isfinite().all(1);
  g.scale.copy_(median.clamp_min(static_cast<float>(eps))
                    .masked_fill(finite.logical_not(), std::numeric_limits<float>::quiet_NaN())
                    .view(g.scale.sizes()));
  return {codes_of("quantize_absmedian", g, WeightRule::kAbsmean, nullptr), g.scale};
}

TensorPair quantize_absmean_stochastic(const at::Tensor& w, const at::Tensor& u_in, int64_t group,
                                       double eps) {
  check_same_device("quantize_absmean_stochastic", w, {u_in});
  check_stochastic("quantize_absmean_stochastic", w, u_in, group, eps);
  const Group g = group_of(w, group);
  const at::Tensor u = u_in.contiguous();
  fill_scale("quantize_absmean_stochastic", g, WeightRule::kAbsmeanStochastic, eps);
  return {codes_of("quantize_absmean_stochastic", g, WeightRule::kAbsmeanStochastic,
                   u.const_data_ptr<float>()),
          g.scale};
}

TensorPair quantize_binary(const at::Tensor& w, int64_t group) {
  check_weight("quantize_binary", w, group);
  const Group g = group_of(w, group);
  fill_scale("quantize_binary", g, WeightRule::kBinary, 0);
  return {codes_of("quantize_binary", g, WeightRule::kBinary, nullptr), g.scale};
}

at::Tensor dequantize_absmean(const at::Tensor& codes, const at::Tensor& scale) {
  check_absmean_codes("dequantize_absmean", codes, scale);
  const at::Tensor value = codes.contiguous().to(at::kFloat);
  const int64_t rows = scale.size(0) == 1 && codes.size(0) != 1 ? 1 : codes.size(0);
  value.view({rows, scale.size(1), -1}).mul_(scale.view({rows, scale.size(1), 1}));
  return value;
}

}  // namespace setun::ops::cuda
