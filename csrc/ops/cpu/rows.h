// How the CPU kernels hand rows (vectors along the last dimension) to threads. Whatever the layout
// and type, a kernel sees contiguous fp32 rows.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <tuple>
#include <vector>

namespace setun::ops::cpu {

inline constexpr int64_t kGrain = 32768;  // elements worth a thread

inline int64_t row_grain(int64_t k) { return std::max<int64_t>(1, kGrain / k); }

inline at::Tensor as_fp32(const at::Tensor& x) { return x.to(at::kFloat).contiguous(); }

// An uninitialized tensor with one element for each row of x: x's shape with a last dimension of 1.
inline at::Tensor empty_per_row(const at::Tensor& x, at::ScalarType type) {
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = 1;
  return at::empty(shape, x.options().dtype(type));
}

// body(row) for every row of k elements, divided over threads.
template <class Body>
void for_each_row(const at::Tensor& x, const Body& body) {
  const int64_t k = x.size(-1);
  at::parallel_for(0, x.numel() / k, row_grain(k), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      body(row);
    }
  });
}

// encode(row, k, codes) writes a row's k codes and returns its scale.
template <class Encode>
std::tuple<at::Tensor, at::Tensor> quantize_rows(const at::Tensor& x_in, const Encode& encode) {
  const at::Tensor x = as_fp32(x_in);
  at::Tensor codes = at::empty(x.sizes(), x.options().dtype(at::kChar));
  at::Tensor scale = empty_per_row(x, at::kFloat);
  const int64_t k = x.size(-1);
  const auto* in = x.const_data_ptr<float>();
  auto* code = codes.data_ptr<int8_t>();
  auto* s = scale.data_ptr<float>();
  for_each_row(x, [&](int64_t row) { s[row] = encode(in + row * k, k, code + row * k); });
  return {codes, scale};
}

// transform(row, k, out) writes a row's k values; the result has the input's type.
template <class Transform>
at::Tensor transform_rows(const at::Tensor& x_in, const Transform& transform) {
  const at::Tensor x = as_fp32(x_in);
  at::Tensor out = at::empty(x.sizes(), x.options());
  const int64_t k = x.size(-1);
  const auto* in = x.const_data_ptr<float>();
  auto* value = out.data_ptr<float>();
  for_each_row(x, [&](int64_t row) { transform(in + row * k, k, value + row * k); });
  return out.to(x_in.scalar_type());
}

}  // namespace setun::ops::cpu
