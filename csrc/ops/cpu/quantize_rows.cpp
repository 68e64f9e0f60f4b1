// CPU kernels of the integer path's activations: absmax codes with their sums, alone and fused
// behind RMSNorm and the Hadamard transform; codes of gradients; pairs of 4-bit codes.
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <cmath>

#include "ops/checks.h"
#include "ops/cpu/row_kernels.h"
#include "ops/cpu/row_reader.h"
#include "ops/cpu/rows.h"
#include "ops/kernel_calls.h"

namespace setun::ops::cpu {
namespace {

using RowCodeTensors = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

float multiplier_of(const RowKernels& kernels, const float* row, int64_t k, float high, float eps) {
  const float largest = kernels.abs_max(row, k);
  return high / (largest < eps ? eps : largest);  // a NaN maximum stays NaN
}

struct RowOutput {
  int8_t* codes;
  float* scale;
  int32_t* sum;
};

// encode(reader, row, output) for every row, divided over threads.
template <class Encode>
RowCodeTensors quantize(Kernel kernel, const at::Tensor& x, const RowKernels& kernels,
                        const Encode& encode) {
  count_kernel_call(kernel, kernels.path);
  const int64_t k = x.size(-1);
  const RowSource source(x, k, kernels);
  at::Tensor codes = at::empty(x.sizes(), x.options().dtype(at::kChar));
  at::Tensor scale = empty_per_row(x, at::kFloat);
  at::Tensor sums = at::empty(x.sizes().slice(0, x.dim() - 1), x.options().dtype(at::kInt));
  auto* code = codes.data_ptr<int8_t>();
  auto* s = scale.data_ptr<float>();
  auto* sum = sums.data_ptr<int32_t>();
  at::parallel_for(0, x.numel() / k, row_grain(k), [&](int64_t begin, int64_t end) {
    RowSource::Reader reader(source);
    for (int64_t row = begin; row < end; ++row) {
      encode(reader, row, RowOutput{code + row * k, s + row, sum + row});
    }
  });
  return {codes, scale, sums};
}

RowCodeTensors quantize_absmax_rows(const at::Tensor& x, int64_t bits, double eps_in) {
  check_absmax("quantize_absmax_rows", x, bits, eps_in);
  const float high = largest_code(bits), eps = static_cast<float>(eps_in);
  const int64_t k = x.size(-1);
  const RowKernels& kernels = row_kernels();
  return quantize(Kernel::kQuantizeRows, x, kernels,
                  [&](RowSource::Reader& reader, int64_t row, const RowOutput& out) {
                    const float* values = reader.row(row);
                    *out.scale = multiplier_of(kernels, values, k, high, eps);
                    *out.sum =
                        kernels.encode_sum(values, k, *out.scale, -high - 1, high, out.codes);
                  });
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> rms_norm_quantize(
    const at::Tensor& x, const std::optional<at::Tensor>& gain_in, double norm_eps, int64_t bits,
    double eps_in, int64_t hadamard_block) {
  check_rms_norm_quantize(x, gain_in, norm_eps, bits, eps_in, hadamard_block);
  const float high = largest_code(bits), eps = static_cast<float>(eps_in);
  const int64_t k = x.size(-1);
  const RowKernels& kernels = row_kernels();
  const at::Tensor gain = gain_in ? gain_in->contiguous() : at::Tensor();
  const float* g = gain.defined() ? gain.const_data_ptr<float>() : nullptr;
  at::Tensor factors = empty_per_row(x, at::kFloat);
  auto* factor = factors.data_ptr<float>();
  auto [codes, scale, sums] = quantize(
      Kernel::kNormQuantize, x, kernels,
      [&](RowSource::Reader& reader, int64_t row, const RowOutput& out) {
        thread_local std::vector<float> buffer;
        buffer.resize(static_cast<std::size_t>(k));
        const float* values = reader.row(row);
        factor[row] = kernels.rms_factor(values, k, norm_eps);
        kernels.scale_row(values, g, k, factor[row], buffer.data());
        if (hadamard_block > 1) {
          kernels.hadamard(buffer.data(), k, hadamard_block, buffer.data());
        }
        *out.scale = multiplier_of(kernels, buffer.data(), k, high, eps);
        *out.sum = kernels.encode_sum(buffer.data(), k, *out.scale, -high - 1, high, out.codes);
      });
  return {codes, scale, sums, factors};
}

RowCodeTensors quantize_gradient_rows(const at::Tensor& dy, bool stochastic, int64_t key) {
  check_gradient_rows(dy);
  constexpr float kHigh = 127, kEps = 1e-30F;
  const int64_t k = dy.size(-1);
  const RowKernels& kernels = row_kernels();
  return quantize(
      Kernel::kQuantizeRows, dy, kernels,
      [&](RowSource::Reader& reader, int64_t row, const RowOutput& out) {
        const float* values = reader.row(row);
        *out.scale = multiplier_of(kernels, values, k, kHigh, kEps);
        *out.sum = stochastic
                       ? kernels.encode_random(values, k, *out.scale, -kHigh - 1, kHigh,
                                               static_cast<uint64_t>(key),
                                               static_cast<uint64_t>(row * k), out.codes)
                       : kernels.encode_sum(values, k, *out.scale, -kHigh - 1, kHigh, out.codes);
      });
}

at::Tensor pack_int4(const at::Tensor& codes_in) {
  check_pack_int4(codes_in);
  const at::Tensor codes = codes_in.contiguous();
  const int64_t k = codes.size(-1), bytes = (k + 1) / 2;
  std::vector<int64_t> shape = codes.sizes().vec();
  shape.back() = bytes;
  at::Tensor packed = at::empty(shape, codes.options().dtype(at::kByte));
  const auto* in = codes.const_data_ptr<int8_t>();
  auto* out = packed.data_ptr<uint8_t>();
  const RowKernels& kernels = row_kernels();
  for_each_row(codes, [&](int64_t row) { kernels.pack_int4(in + row * k, k, out + row * bytes); });
  return packed;
}

at::Tensor unpack_int4(const at::Tensor& packed_in, int64_t columns) {
  check_unpack_int4(packed_in, columns);
  const at::Tensor packed = packed_in.contiguous();
  std::vector<int64_t> shape = packed.sizes().vec();
  shape.back() = columns;
  at::Tensor codes = at::empty(shape, packed.options().dtype(at::kChar));
  const int64_t bytes = packed.size(-1);
  const auto* in = packed.const_data_ptr<uint8_t>();
  auto* out = codes.data_ptr<int8_t>();
  const RowKernels& kernels = row_kernels();
  for_each_row(codes, [&](int64_t row) {
    kernels.unpack_int4(in + row * bytes, columns, out + row * columns);
  });
  return codes;
}

}  // namespace

TORCH_LIBRARY_IMPL(setun, CPU, m) {
  m.impl("quantize_absmax_rows", quantize_absmax_rows);
  m.impl("rms_norm_quantize", rms_norm_quantize);
  m.impl("quantize_gradient_rows", quantize_gradient_rows);
  m.impl("pack_int4", pack_int4);
  m.impl("unpack_int4", unpack_int4);
}

}  // namespace setun::ops::cpu
