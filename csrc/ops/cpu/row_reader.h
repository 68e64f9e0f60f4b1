// Rows of an fp32 or bf16 tensor as fp32, without a copy of the whole tensor: fp32 rows are read in
// place, bf16 rows are widened into a buffer of the thread that reads them. Other types are
// converted up front.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "ops/cpu/row_kernels.h"

namespace setun::ops::cpu {

class RowSource {
 public:
  // Any layout; a row is `k` consecutive elements of the flattened tensor.
  RowSource(const at::Tensor& x, int64_t k, const RowKernels& kernels)
      : tensor_(x.scalar_type() == at::kBFloat16 ? x.contiguous() : x.to(at::kFloat).contiguous()),
        k_(k),
        kernels_(kernels) {}

  // One reader a thread. The pointer of row() is valid until the next call.
  class Reader {
   public:
    explicit Reader(const RowSource& source)
        : source_(source), buffer_(source.narrow() ? static_cast<std::size_t>(source.k_) : 0) {}
    const float* row(int64_t index) { return part(index * source_.k_, source_.k_); }
    // count <= k elements from `begin` of the flattened tensor.
    const float* part(int64_t begin, int64_t count) {
      if (!source_.narrow()) {
        return source_.tensor_.const_data_ptr<float>() + begin;
      }
      const auto* bits =
          static_cast<const uint16_t*>(source_.tensor_.const_data_ptr());  // bf16 is its bits
      source_.kernels_.widen_bf16(bits + begin, count, buffer_.data());
      return buffer_.data();
    }

   private:
    const RowSource& source_;
    std::vector<float> buffer_;
  };

 private:
  bool narrow() const { return tensor_.scalar_type() == at::kBFloat16; }

  at::Tensor tensor_;
  int64_t k_;
  const RowKernels& kernels_;
};

}  // namespace setun::ops::cpu
