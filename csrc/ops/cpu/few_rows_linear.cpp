// CPU kernels of products with few rows, whose matrix is read once as it lies in memory: tasks of
// outputs are divided over threads, so that each reads one stretch of the matrix. And of what is
// added between such products.
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <algorithm>
#include <vector>

#include "ops/cpu/aligned_buffer.h"
#include "ops/cpu/element_rows.h"
#include "ops/cpu/few_rows_kernels.h"
#include "ops/few_rows_checks.h"
#include "ops/kernel_calls.h"

namespace setun::ops::cpu {
namespace {

constexpr int64_t kTaskOutputs = 64;       // whose sums wait in a buffer for their rounding
constexpr int64_t kTaskBytes = 128 << 10;  // of the matrix that are worth a thread

at::Tensor empty_result(const at::Tensor& x, int64_t outputs, at::ScalarType dtype) {
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = outputs;
  return at::empty(shape, x.options().dtype(dtype));
}

OutRow at_column(OutRow row, int64_t column) {
  const int64_t bytes = row.type == Element::kBf16 ? 2 : 4;
  return {static_cast<char*>(row.data) + column * bytes, row.type};
}

// body(first, count) for parts of the outputs, kTaskOutputs at most.
template <class Body>
void for_outputs(int64_t outputs, int64_t row_bytes, const Body& body) {
  at::parallel_for(0, outputs, std::max<int64_t>(1, kTaskBytes / row_bytes),
                   [&](int64_t begin, int64_t end) {
                     for (int64_t first = begin; first < end; first += kTaskOutputs) {
                       body(first, std::min(kTaskOutputs, end - first));
                     }
                   });
}

at::Tensor few_rows_linear(const at::Tensor& x_in, const at::Tensor& weight_in,
                           at::ScalarType dtype) {
  check_few_rows_linear(x_in, weight_in, dtype);
  const FewRowsKernels& kernels = few_rows_kernels();
  count_kernel_call(Kernel::kFewRowsLinear, kernels.path);
  const at::Tensor weight = weight_in.stride(1) == 1 ? weight_in : weight_in.contiguous();
  const int64_t outputs = weight.size(0), columns = weight.size(1);
  at::Tensor y = empty_result(x_in, outputs, dtype);
  if (y.numel() == 0) {
    return y;
  }
  const InRows x(x_in);
  const int64_t stride = padded(columns, kDotBlock);
  const AlignedBuffer<float> staged(x.count() * stride);
  for (int64_t row = 0; row < x.count(); ++row) {
    kernels.stage(x[row], columns, element_of(weight), staged.data() + row * stride);
  }
  const OutRows out(y);
  const auto* data = static_cast<const char*>(weight.const_data_ptr());
  const int64_t row_bytes = weight.stride(0) * weight.element_size();
  for_outputs(outputs, columns * weight.element_size(), [&](int64_t first, int64_t count) {
    float sums[kFewRows * kTaskOutputs];
    kernels.dot(staged.data(), x.count(),
                {{data + first * row_bytes, element_of(weight)}, count, weight.stride(0)}, columns,
                sums, kTaskOutputs);
    for (int64_t row = 0; row < x.count(); ++row) {
      kernels.write(sums + row * kTaskOutputs, count, at_column(out[row], first));
    }
  });
  return y;
}

at::Tensor add_residual(const at::Tensor& x_in, const at::Tensor& y_in) {
  check_add_residual(x_in, y_in);
  const FewRowsKernels& kernels = few_rows_kernels();
  const at::Tensor x = x_in.contiguous(), y = y_in.contiguous();
  at::Tensor out = at::empty(x.sizes(), x.options());
  const auto* from = x.const_data_ptr<float>();
  const auto* added = static_cast<const char*>(y.const_data_ptr());
  auto* to = out.data_ptr<float>();
  at::parallel_for(0, x.numel(), kGrain, [&](int64_t begin, int64_t end) {
    kernels.add(from + begin, {added + begin * y.element_size(), element_of(y)}, end - begin,
                to + begin);
  });
  return out;
}

at::Tensor int8_linear(const at::Tensor& codes_in, const at::Tensor& scale_in,
                       const at::Tensor& w_codes_in, const at::Tensor& w_scale_in,
                       const at::Tensor& w_row_sums_in, at::ScalarType dtype) {
  check_int8_linear(codes_in, scale_in, w_codes_in, w_scale_in, w_row_sums_in, dtype);
  const FewRowsKernels& kernels = few_rows_kernels();
  count_kernel_call(Kernel::kInt8Linear, kernels.path);
  const at::Tensor codes = codes_in.contiguous(), scale = scale_in.contiguous(),
                   w_codes = w_codes_in.contiguous(), w_scale = w_scale_in.contiguous(),
                   w_row_sums = w_row_sums_in.contiguous();
  const int64_t outputs = w_codes.size(0), columns = w_codes.size(1);
  at::Tensor y = empty_result(codes, outputs, dtype);
  if (y.numel() == 0) {
    return y;
  }
  const int64_t rows = codes.numel() / columns, stride = padded(columns, kCodeBlock);
  const AlignedBuffer<int8_t> staged(rows * stride);
  for (int64_t row = 0; row < rows; ++row) {
    kernels.stage_codes(codes.const_data_ptr<int8_t>() + row * columns, columns,
                        staged.data() + row * stride);
  }
  const OutRows out(y);
  const auto* s = scale.const_data_ptr<float>();
  const auto* w = w_codes.const_data_ptr<int8_t>();
  for_outputs(outputs, columns, [&](int64_t first, int64_t count) {
    int32_t sums[kTaskOutputs];
    for (int64_t row = 0; row < rows; ++row) {
      kernels.dot_codes(staged.data() + row * stride, w + first * columns, count, columns,
                        w_row_sums.const_data_ptr<int32_t>() + first, sums);
      kernels.finish_codes(sums, count, s[row], w_scale.const_data_ptr<float>() + first,
                           at_column(out[row], first));
    }
  });
  return y;
}

}  // namespace

TORCH_LIBRARY_IMPL(setun, CPU, m) {
  m.impl("add_residual", add_residual);
  m.impl("few_rows_linear", few_rows_linear);
  m.impl("int8_linear", int8_linear);
}

}  // namespace setun::ops::cpu
