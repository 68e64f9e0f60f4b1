// The operators' CUDA kernels, by the names of schemas.cpp.
#include <torch/library.h>

#include "ops/cuda/ops_cuda.h"

namespace setun::ops::cuda {

TORCH_LIBRARY_IMPL(setun, CUDA, m) {
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
  m.impl("quantize_kv", quantize_kv);
  m.impl("fake_quantize_kv", fake_quantize_kv);
  m.impl("quantize_kv_asymmetric", quantize_kv_asymmetric);
  m.impl("fake_quantize_kv_asymmetric", fake_quantize_kv_asymmetric);
  m.impl("rms_norm_forward", rms_norm_forward);
  m.impl("rms_norm_backward", rms_norm_backward);
  m.impl("layer_norm_forward", layer_norm_forward);
  m.impl("layer_norm_backward", layer_norm_backward);
}

}  // namespace setun::ops::cuda
