// The operators under autocast (torch.autocast, at::autocast): each keeps the types it is given,
// because a latent or a scale rounded to bf16 makes other codes. Two things differ from a call
// outside: fp16, for which there are no kernels, is widened to fp32, and arguments that share a
// type (a gate and its up) take the widest of theirs. Both conversions are differentiable. An
// argument that is written to stays as it is.
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include <string_view>

namespace setun::ops {
namespace {

// How many leading arguments share a type.
std::size_t alike(std::string_view op) {
  constexpr std::pair<std::string_view, std::size_t> kOperators[] = {
      {"setun::gated_activation", 2},
      {"setun::gated_activation_backward", 3},
      {"setun::causal_attention", 3},
      {"setun::causal_attention_forward", 3},
      {"setun::causal_attention_backward", 6}};
  for (const auto& [name, count] : kOperators) {
    if (name == op) {
      return count;
    }
  }
  return 0;
}

at::ScalarType widened(at::ScalarType type) { return type == at::kHalf ? at::kFloat : type; }

void in_own_types(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const c10::impl::ExcludeDispatchKeyGuard outside(c10::autocast_dispatch_keyset);
  const std::vector<c10::Argument>& arguments = op.schema().arguments();
  const std::size_t first = stack->size() - arguments.size(), shared = alike(op.schema().name());
  at::ScalarType common = at::kBFloat16;
  for (std::size_t i = 0; i < shared; ++i) {
    common = c10::promoteTypes(common, widened((*stack)[first + i].toTensor().scalar_type()));
  }
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    c10::IValue& value = (*stack)[first + i];
    const bool written =
        arguments[i].alias_info() != nullptr && arguments[i].alias_info()->isWrite();
    if (!written && value.isTensor() && value.toTensor().is_floating_point()) {
      const at::Tensor& tensor = value.toTensor();
      const at::ScalarType type = i < shared ? common : widened(tensor.scalar_type());
      value = tensor.to(type);
    }
  }
  op.callBoxed(stack);
}

constexpr const char* kOperators[] = {"quantize_absmax",
                                      "fake_quantize_absmax",
                                      "quantize_act_absmean",
                                      "fake_quantize_act_absmean",
                                      "quantize_fp4",
                                      "fake_quantize_fp4",
                                      "round_e2m1",
                                      "quantize_absmean",
                                      "quantize_absmedian",
                                      "quantize_absmean_stochastic",
                                      "quantize_binary",
                                      "dequantize_absmax",
                                      "dequantize_absmean",
                                      "hadamard",
                                      "topk_mask",
                                      "nm_mask",
                                      "pack_mask",
                                      "apply_mask",
                                      "quantize_kv",
                                      "fake_quantize_kv",
                                      "quantize_kv_asymmetric",
                                      "fake_quantize_kv_asymmetric",
                                      "quantize_pack_absmean",
                                      "quantize_pack_scaled",
                                      "quantize_absmax_rows",
                                      "rms_norm_quantize",
                                      "quantize_gradient_rows",
                                      "dequantize_rows",
                                      "ternary_linear",
                                      "rms_norm",
                                      "rms_norm_forward",
                                      "rms_norm_backward",
                                      "layer_norm",
                                      "layer_norm_forward",
                                      "layer_norm_backward",
                                      "gated_activation",
                                      "gated_activation_backward",
                                      "cross_entropy_rows",
                                      "cross_entropy_rows_",
                                      "rope",
                                      "counter_uniform_like",
                                      "dropout_mask",
                                      "sum_of_squares",
                                      "adamw_",
                                      "adamw_ternary_",
                                      "causal_attention",
                                      "causal_attention_forward",
                                      "causal_attention_backward",
                                      "add_residual",
                                      "few_rows_linear",
                                      "int8_linear",
                                      "cached_attention",
                                      "pack_ternary",
                                      "unpack_ternary",
                                      "transpose_ternary",
                                      "pack_int4",
                                      "unpack_int4"};

void register_all(torch::Library& m) {
  for (const char* name : kOperators) {
    m.impl(name, torch::CppFunction::makeFromBoxedFunction<&in_own_types>());
  }
}

}  // namespace

TORCH_LIBRARY_IMPL(setun, AutocastCPU, m) { register_all(m); }
TORCH_LIBRARY_IMPL(setun, AutocastCUDA, m) { register_all(m); }

}  // namespace setun::ops
