// The operators' CUDA kernels, by the names of schemas.cpp.
#include <torch/library.h>

#include "ops/cuda/ops_cuda.h"

namespace setun::ops::cuda {

// On the emulator the kernels read host memory, so there they serve the device that tests pretend.
#if defined(SETUN_EMU)
TORCH_LIBRARY_IMPL(setun, PrivateUse1, m) {
#else
TORCH_LIBRARY_IMPL(setun, CUDA, m) {
#endif
  m.impl("quantize_absmax", quantize_absmax);
  m.impl("fake_quantize_absmax", fake_quantize_absmax);
  m.impl("quantize_act_absmean", quantize_act_absmean);
  m.impl("fake_quantize_act_absmean", fake_quantize_act_absmean);
  m.impl("quantize_fp4", quantize_fp4);
  m.impl("fake_quantize_fp4", fake_quantize_fp4);
  m.impl("round_e2m1", round_e2m1);
  m.impl("quantize_absmean", quantize_absmean);
  m.impl("quantize_absmedian", quantize_absmedian);
  m.impl("quantize_absmean_stochastic", quantize_absmean_stochastic);
  m.impl("quantize_binary", quantize_binary);
  m.impl("dequantize_absmax", dequantize_absmax);
  m.impl("dequantize_absmean", dequantize_absmean);
  m.impl("hadamard", hadamard);
  m.impl("topk_mask", topk_mask);
  m.impl("nm_mask", nm_mask);
  m.impl("pack_mask", pack_mask);
  m.impl("apply_mask", apply_mask);
  m.impl("quantize_kv", quantize_kv);
  m.impl("fake_quantize_kv", fake_quantize_kv);
  m.impl("quantize_kv_asymmetric", quantize_kv_asymmetric);
  m.impl("fake_quantize_kv_asymmetric", fake_quantize_kv_asymmetric);
  m.impl("rms_norm_forward", rms_norm_forward);
  m.impl("rms_norm_backward", rms_norm_backward);
  m.impl("layer_norm_forward", layer_norm_forward);
  m.impl("layer_norm_backward", layer_norm_backward);
  m.impl("quantize_absmax_rows", quantize_absmax_rows);
  m.impl("rms_norm_quantize", rms_norm_quantize);
  m.impl("quantize_gradient_rows", quantize_gradient_rows);
  m.impl("dequantize_rows", dequantize_rows);
  m.impl("pack_int4", pack_int4);
  m.impl("unpack_int4", unpack_int4);
  m.impl("pack_ternary", pack_ternary);
  m.impl("unpack_ternary", unpack_ternary);
  m.impl("transpose_ternary", transpose_ternary);
  m.impl("quantize_pack_absmean", quantize_pack_absmean);
  m.impl("quantize_pack_scaled", quantize_pack_scaled);
  m.impl("ternary_linear", ternary_linear);
  m.impl("rope", rope);
  m.impl("gated_activation", gated_activation);
  m.impl("gated_activation_backward", gated_activation_backward);
  m.impl("cross_entropy_rows", cross_entropy_rows);
  m.impl("cross_entropy_rows_", cross_entropy_rows_);
  m.impl("counter_uniform_like", counter_uniform_like);
  m.impl("dropout_mask", dropout_mask);
  m.impl("sum_of_squares", sum_of_squares);
  m.impl("adamw_", adamw_);
  m.impl("adamw_ternary_", adamw_ternary_);
}

}  // namespace setun::ops::cuda
