// Glue of the integer path's activations: codes with their sums, their values, pairs of 4-bit
// codes.
#include <ATen/Functions.h>

#include "cuda/elements.h"
#include "ops/cuda/ops_cuda.h"
#include "ops/cuda/token_call.h"
#include "ops/step_checks.h"

namespace setun::ops::cuda {
namespace {

// Codes, scale and the sum of each row's codes.
RowCodeTensors run_with_sums(TokenCall& call) {
  auto [codes, scale] = call.codes_and_scale();
  at::Tensor sums =
      at::empty(call.x.sizes().slice(0, call.x.dim() - 1), call.x.options().dtype(at::kInt));
  call.params.sums = sums.data_ptr<int32_t>();
  call.run();
  return {codes, scale, sums};
}

setun::cuda::Int4Params int4_params(const at::Tensor& codes, const at::Tensor& packed) {
  return {static_cast<int8_t*>(codes.data_ptr()), static_cast<uint8_t*>(packed.data_ptr()),
          codes.numel() / codes.size(-1), codes.size(-1)};
}

}  // namespace

RowCodeTensors quantize_absmax_rows(const at::Tensor& x, int64_t bits, double eps) {
  check_absmax("quantize_absmax_rows", x, bits, eps);
  TokenCall call("quantize_absmax_rows", x);
  call.quantizer(TokenRule::kAbsmax, bits, 0, eps);
  return run_with_sums(call);
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> rms_norm_quantize(
    const at::Tensor& x, const std::optional<at::Tensor>& gain_in, double norm_eps, int64_t bits,
    double eps, int64_t hadamard_block) {
  check_same_device("rms_norm_quantize", x, {gain_in});
  check_rms_norm_quantize(x, gain_in, norm_eps, bits, eps, hadamard_block);
  TokenCall call("rms_norm_quantize", x);
  const std::optional<at::Tensor> gain =
      gain_in && gain_in->defined() ? std::optional(gain_in->contiguous()) : std::nullopt;
  at::Tensor factor = call.empty_per_row();
  call.quantizer(TokenRule::kAbsmax, bits, 0, eps);
  call.params.norm = true;
  call.params.gain = data_or_null(gain);
  call.params.norm_eps = static_cast<float>(norm_eps);
  call.params.hadamard_block = static_cast<int>(hadamard_block);
  call.params.factor = factor.data_ptr<float>();
  auto [codes, scale, sums] = run_with_sums(call);
  return {codes, scale, sums, factor};
}

RowCodeTensors quantize_gradient_rows(const at::Tensor& dy, bool stochastic, int64_t key) {
  check_gradient_rows(dy);
  TokenCall call("quantize_gradient_rows", dy);
  call.quantizer(stochastic ? TokenRule::kAbsmaxStochastic : TokenRule::kAbsmax, 8, 0, 1e-30);
  call.params.draw_key = static_cast<uint64_t>(key);
  return run_with_sums(call);
}

at::Tensor dequantize_rows(const at::Tensor& codes_in, const at::Tensor& scale_in,
                           at::ScalarType dtype) {
  check_same_device("dequantize_rows", codes_in, {scale_in});
  check_dequantize_rows(codes_in, scale_in, dtype);
  const at::Tensor codes = codes_in.contiguous(), scale = scale_in.contiguous();
  at::Tensor y = at::empty(codes.sizes(), codes.options().dtype(dtype));
  if (y.numel() == 0) {
    return y;
  }
  const DeviceScope scope(y);
  check_launch(
      "dequantize_rows",
      setun::cuda::dequantize_rows(
          {codes.const_data_ptr<int8_t>(), scale.const_data_ptr<float>(),
           codes.numel() / codes.size(-1), codes.size(-1), y.data_ptr(), dtype == at::kBFloat16},
          scope.stream()));
  return y;
}

at::Tensor pack_int4(const at::Tensor& codes_in) {
  check_pack_int4(codes_in);
  const at::Tensor codes = codes_in.contiguous();
  std::vector<int64_t> shape = codes.sizes().vec();
  shape.back() = (shape.back() + 1) / 2;
  at::Tensor packed = at::empty(shape, codes.options().dtype(at::kByte));
  if (packed.numel() > 0) {
    const DeviceScope scope(packed);
    check_launch("pack_int4", setun::cuda::pack_int4(int4_params(codes, packed), scope.stream()));
  }
  return packed;
}

at::Tensor unpack_int4(const at::Tensor& packed_in, int64_t columns) {
  check_unpack_int4(packed_in, columns);
  const at::Tensor packed = packed_in.contiguous();
  std::vector<int64_t> shape = packed.sizes().vec();
  shape.back() = columns;
  at::Tensor codes = at::empty(shape, packed.options().dtype(at::kChar));
  if (codes.numel() > 0) {
    const DeviceScope scope(codes);
    check_launch("unpack_int4",
                 setun::cuda::unpack_int4(int4_params(codes, packed), scope.stream()));
  }
  return codes;
}

}  // namespace setun::ops::cuda
