// Every operator of Setun: the index. Kernels register themselves beside their code (ops/cpu,
// ops/autograd); numbers are arguments, never parts of a name.
#include <torch/library.h>

// Quantizers, rotation, masks.
TORCH_LIBRARY(setun, m) {
  m.def("quantize_absmax(Tensor x, int bits, float eps) -> (Tensor codes, Tensor scale)");
  m.def("fake_quantize_absmax(Tensor x, int bits, float eps) -> Tensor");
  m.def(
      "quantize_act_absmean(Tensor x, int bits, float multiplier, float eps) -> (Tensor codes, "
      "Tensor scale)");
  m.def("fake_quantize_act_absmean(Tensor x, int bits, float multiplier, float eps) -> Tensor");
  m.def("quantize_fp4(Tensor x) -> (Tensor codes, Tensor scale)");
  m.def("fake_quantize_fp4(Tensor x) -> Tensor");
  m.def("round_e2m1(Tensor x) -> Tensor");
  m.def("quantize_absmean(Tensor w, int group, float eps) -> (Tensor codes, Tensor scale)");
  m.def("quantize_absmedian(Tensor w, int group, float eps) -> (Tensor codes, Tensor scale)");
  m.def(
      "quantize_absmean_stochastic(Tensor w, Tensor u, int group, float eps) -> (Tensor codes, "
      "Tensor scale)");
  m.def("quantize_binary(Tensor w, int group) -> (Tensor codes, Tensor scale)");
  m.def("counter_uniform(int count, int key) -> Tensor");
  m.def("dequantize_absmax(Tensor codes, Tensor scale) -> Tensor");
  m.def("dequantize_absmean(Tensor codes, Tensor scale) -> Tensor");
  m.def("hadamard(Tensor x, int block) -> Tensor");
  m.def("topk_mask(Tensor x, int k) -> Tensor");
  m.def("nm_mask(Tensor x, int n, int m) -> Tensor");
  m.def("pack_mask(Tensor keep) -> Tensor");
  m.def("apply_mask(Tensor x, Tensor bits) -> Tensor");
  m.def("quantize_kv(Tensor h, int bits, float eps) -> (Tensor codes, Tensor scale)");
  m.def("fake_quantize_kv(Tensor h, int bits, float eps) -> Tensor");
  m.def(
      "quantize_kv_asymmetric(Tensor h, int bits, float eps) -> (Tensor codes, Tensor scale, "
      "Tensor minimum)");
  m.def("fake_quantize_kv_asymmetric(Tensor h, int bits, float eps) -> Tensor");
}

// Products of integer codes and their operands.
TORCH_LIBRARY_FRAGMENT(setun, m) {
  m.def("pack_ternary(Tensor codes) -> Tensor");
  m.def("unpack_ternary(Tensor packed, int rows, int columns, ScalarType dtype) -> Tensor");
  m.def("transpose_ternary(Tensor packed, int rows, int columns) -> Tensor");
  m.def(
      "quantize_pack_absmean(Tensor w, int group, float eps) -> (Tensor packed, Tensor scale, "
      "Tensor counts)");
  m.def("quantize_pack_scaled(Tensor w, Tensor scale) -> (Tensor packed, Tensor counts)");
  m.def(
      "quantize_absmax_rows(Tensor x, int bits, float eps) -> (Tensor codes, Tensor scale, Tensor "
      "row_sums)");
  m.def(
      "rms_norm_quantize(Tensor x, Tensor? gain, float norm_eps, int bits, float eps, int "
      "hadamard_block) -> (Tensor codes, Tensor scale, Tensor row_sums, Tensor factor)");
  m.def(
      "quantize_gradient_rows(Tensor dy, bool stochastic, int key) -> (Tensor codes, Tensor scale, "
      "Tensor row_sums)");
  m.def("dequantize_rows(Tensor codes, Tensor scale, ScalarType dtype) -> Tensor");
  m.def("pack_int4(Tensor codes) -> Tensor");
  m.def("unpack_int4(Tensor packed, int columns) -> Tensor");
  m.def(
      "ternary_linear(Tensor codes, Tensor scale, Tensor row_sums, Tensor packed, int rows, int "
      "columns, Tensor w_scale, ScalarType dtype, Tensor? residual) -> Tensor");
}

// The rest of a step: norms, activations, positions, loss.
TORCH_LIBRARY_FRAGMENT(setun, m) {
  m.def("rms_norm(Tensor x, Tensor? gain, float eps) -> Tensor");
  m.def("rms_norm_forward(Tensor x, Tensor? gain, float eps) -> (Tensor y, Tensor factor)");
  m.def(
      "rms_norm_backward(Tensor grad, Tensor x, Tensor? gain, Tensor factor) -> (Tensor grad_x, "
      "Tensor grad_gain)");
  m.def("layer_norm(Tensor x, float eps) -> Tensor");
  m.def("layer_norm_forward(Tensor x, float eps) -> (Tensor y, Tensor factor)");
  m.def("layer_norm_backward(Tensor grad, Tensor y, Tensor factor, ScalarType type) -> Tensor");
  m.def("gated_activation(Tensor gate, Tensor up, str activation) -> Tensor");
  m.def(
      "gated_activation_backward(Tensor grad, Tensor gate, Tensor up, str activation) -> (Tensor "
      "grad_gate, Tensor grad_up)");
  m.def("cross_entropy_rows(Tensor logits, Tensor targets) -> Tensor");
  m.def("cross_entropy_rows_(Tensor(a!) logits, Tensor targets) -> Tensor");
  m.def("rope(Tensor x, Tensor cos, Tensor sin, bool inverse) -> Tensor");
  m.def("counter_uniform_like(Tensor like, int key) -> Tensor");
  m.def("dropout_mask(Tensor like, float probability, int key) -> Tensor");
  m.def("sum_of_squares(Tensor x) -> Tensor");
  m.def("adamw_(Tensor(a!) p, Tensor grad, Tensor(b!) m, Tensor(c!) v, Tensor factors) -> ()");
  m.def(
      "adamw_ternary_(Tensor(a!) p, Tensor grad, Tensor(b!) m, Tensor(c!) v, Tensor factors, float "
      "eps, Tensor(d!) scale, Tensor(e!) packed) -> ()");
  m.def("causal_attention(Tensor q, Tensor k, Tensor v, Tensor? first) -> Tensor");
  m.def(
      "causal_attention_forward(Tensor q, Tensor k, Tensor v, Tensor? first) -> (Tensor out, "
      "Tensor lse)");
  m.def(
      "causal_attention_backward(Tensor grad, Tensor out, Tensor lse, Tensor q, Tensor k, Tensor "
      "v, Tensor? first) -> (Tensor grad_q, Tensor grad_k, Tensor grad_v)");
}

// Generation: few rows, one token.
TORCH_LIBRARY_FRAGMENT(setun, m) {
  m.def("add_residual(Tensor x, Tensor y) -> Tensor");
  m.def("few_rows_linear(Tensor x, Tensor weight, ScalarType dtype) -> Tensor");
  m.def(
      "int8_linear(Tensor codes, Tensor scale, Tensor w_codes, Tensor w_scale, Tensor w_row_sums, "
      "ScalarType dtype) -> Tensor");
  m.def(
      "cached_attention(Tensor q, Tensor k, Tensor v, Tensor(a!) keys, Tensor(b!) values, int "
      "length) -> Tensor");
}
