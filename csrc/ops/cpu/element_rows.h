// Tensors of fp32 or bf16 as rows for the step kernels. A row is the last dimension; rows may lie
// apart (a half of a joint product, say), and only a tensor whose rows are not dense is copied.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>

#include "ops/cpu/elements.h"
#include "ops/cpu/rows.h"

namespace setun::ops::cpu {

inline Element element_of(const at::Tensor& x) {
  return x.scalar_type() == at::kBFloat16 ? Element::kBf16 : Element::kFp32;
}

// x itself when the step kernels read its type, else widened.
inline at::Tensor as_elements(const at::Tensor& x) {
  return x.scalar_type() == at::kBFloat16 ? x : x.to(at::kFloat);
}

// Reads the rows of [..., K].
class InRows {
 public:
  explicit InRows(const at::Tensor& x)
      : x_(dense_rows(x)),
        data_(static_cast<const char*>(x_.const_data_ptr())),
        type_(element_of(x_)),
        stride_(x_.stride(0) * x_.element_size()) {}
  int64_t count() const { return x_.size(0); }
  int64_t width() const { return x_.size(1); }
  InRow operator[](int64_t row) const { return {data_ + row * stride_, type_}; }

 private:
  static at::Tensor dense_rows(const at::Tensor& x) {
    const at::Tensor rows = x.numel() == 0 ? x.reshape({0, x.size(-1)})
                                           : x.reshape({x.numel() / x.size(-1), x.size(-1)});
    return rows.stride(1) == 1 || rows.size(1) == 1 ? rows : rows.contiguous();
  }

  at::Tensor x_;
  const char* data_;
  Element type_;
  int64_t stride_;
};

// Writes the rows of a contiguous [..., K].
class OutRows {
 public:
  explicit OutRows(const at::Tensor& y)
      : data_(static_cast<char*>(y.data_ptr())),
        type_(element_of(y)),
        stride_(y.size(-1) * y.element_size()) {}
  OutRow operator[](int64_t row) const { return {data_ + row * stride_, type_}; }

 private:
  char* data_;
  Element type_;
  int64_t stride_;
};

// body(row) for `rows` rows of `width` elements, divided over threads.
template <class Body>
void for_rows(int64_t rows, int64_t width, const Body& body) {
  at::parallel_for(0, rows, row_grain(std::max<int64_t>(1, width)),
                   [&](int64_t begin, int64_t end) {
                     for (int64_t row = begin; row < end; ++row) {
                       body(row);
                     }
                   });
}

}  // namespace setun::ops::cpu
