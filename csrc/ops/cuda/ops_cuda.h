// The operators on CUDA tensors: the signatures of schemas.cpp, results equal to the CPU kernels'
// bit for bit (docs/numerics.md). register.cpp gives them to the dispatcher.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <tuple>

namespace setun::ops::cuda {

using TensorPair = std::tuple<at::Tensor, at::Tensor>;
using TensorTriple = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

// activations.cpp
TensorPair quantize_absmax(const at::Tensor& x, int64_t bits, double eps);
at::Tensor fake_quantize_absmax(const at::Tensor& x, int64_t bits, double eps);
TensorPair quantize_act_absmean(const at::Tensor& x, int64_t bits, double multiplier, double eps);
at::Tensor fake_quantize_act_absmean(const at::Tensor& x, int64_t bits, double multiplier,
                                     double eps);
TensorPair quantize_fp4(const at::Tensor& x);
at::Tensor fake_quantize_fp4(const at::Tensor& x);
at::Tensor round_e2m1(const at::Tensor& x);
TensorPair quantize_kv(const at::Tensor& h, int64_t bits, double eps);
at::Tensor fake_quantize_kv(const at::Tensor& h, int64_t bits, double eps);
TensorTriple quantize_kv_asymmetric(const at::Tensor& h, int64_t bits, double eps);
at::Tensor fake_quantize_kv_asymmetric(const at::Tensor& h, int64_t bits, double eps);
at::Tensor dequantize_absmax(const at::Tensor& codes, const at::Tensor& scale);

// weights.cpp
TensorPair quantize_absmean(const at::Tensor& w, int64_t group, double eps);
TensorPair quantize_absmedian(const at::Tensor& w, int64_t group, double eps);
TensorPair quantize_absmean_stochastic(const at::Tensor& w, const at::Tensor& u, int64_t group,
                                       double eps);
TensorPair quantize_binary(const at::Tensor& w, int64_t group);
at::Tensor dequantize_absmean(const at::Tensor& codes, const at::Tensor& scale);
// The scale of quantize_absmean alone; w as the kernels read it.
at::Tensor absmean_scale(const char* op, const at::Tensor& w, int64_t group, double eps);

// rows.cpp
at::Tensor hadamard(const at::Tensor& x, int64_t block);
at::Tensor topk_mask(const at::Tensor& x, int64_t k);
at::Tensor nm_mask(const at::Tensor& x, int64_t n, int64_t m);
at::Tensor pack_mask(const at::Tensor& keep);
at::Tensor apply_mask(const at::Tensor& x, const at::Tensor& bits);
TensorPair rms_norm_forward(const at::Tensor& x, const std::optional<at::Tensor>& gain, double eps);
TensorPair rms_norm_backward(const at::Tensor& grad, const at::Tensor& x,
                             const std::optional<at::Tensor>& gain, const at::Tensor& factor);
TensorPair layer_norm_forward(const at::Tensor& x, double eps);
at::Tensor layer_norm_backward(const at::Tensor& grad, const at::Tensor& y,
                               const at::Tensor& factor, at::ScalarType type);

// row_codes.cpp
using RowCodeTensors = TensorTriple;  // codes, scale, row sums
RowCodeTensors quantize_absmax_rows(const at::Tensor& x, int64_t bits, double eps);
std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> rms_norm_quantize(
    const at::Tensor& x, const std::optional<at::Tensor>& gain, double norm_eps, int64_t bits,
    double eps, int64_t hadamard_block);
RowCodeTensors quantize_gradient_rows(const at::Tensor& dy, bool stochastic, int64_t key);
at::Tensor dequantize_rows(const at::Tensor& codes, const at::Tensor& scale, at::ScalarType dtype);
at::Tensor pack_int4(const at::Tensor& codes);
at::Tensor unpack_int4(const at::Tensor& packed, int64_t columns);

// products.cpp. A packed weight is uint8 of the words of cuda/layouts.h, another layout than the
// CPU's: it is made and read on one device, and never saved.
int64_t packed_bytes(int64_t rows, int64_t columns);
at::Tensor pack_ternary(const at::Tensor& codes);  // of -1, 0, 1, which is not checked here
at::Tensor unpack_ternary(const at::Tensor& packed, int64_t rows, int64_t columns,
                          at::ScalarType dtype);
at::Tensor transpose_ternary(const at::Tensor& packed, int64_t rows, int64_t columns);
TensorTriple quantize_pack_absmean(const at::Tensor& w, int64_t group, double eps);
TensorPair quantize_pack_scaled(const at::Tensor& w, const at::Tensor& scale);
at::Tensor ternary_linear(const at::Tensor& codes, const at::Tensor& scale,
                          const at::Tensor& row_sums, const at::Tensor& packed, int64_t rows,
                          int64_t columns, const at::Tensor& w_scale, at::ScalarType dtype,
                          const std::optional<at::Tensor>& residual);

// step.cpp
at::Tensor rope(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin, bool inverse);
at::Tensor gated_activation(const at::Tensor& gate, const at::Tensor& up,
                            c10::string_view activation);
TensorPair gated_activation_backward(const at::Tensor& grad, const at::Tensor& gate,
                                     const at::Tensor& up, c10::string_view activation);
// The loss is within 1e-6 of the CPU's, the gradient has its bits. A target that is no class makes
// the loss NaN: an error would have to wait for the device.
at::Tensor cross_entropy_rows(const at::Tensor& logits, const at::Tensor& targets);
at::Tensor cross_entropy_rows_(at::Tensor& logits, const at::Tensor& targets);
at::Tensor counter_uniform_like(const at::Tensor& like, int64_t key);
at::Tensor dropout_mask(const at::Tensor& like, double probability, int64_t key);
at::Tensor sum_of_squares(const at::Tensor& x);
void adamw_(const at::Tensor& p, const at::Tensor& grad, const at::Tensor& m, const at::Tensor& v,
            const at::Tensor& factors);
void adamw_ternary_(const at::Tensor& p, const at::Tensor& grad, const at::Tensor& m,
                    const at::Tensor& v, const at::Tensor& factors, double eps,
                    const at::Tensor& scale, const at::Tensor& packed);

}  // namespace setun::ops::cuda
