// CPU kernel of one token's attention over a cache: a key head and the queries that share it are a
// task. Scores are the product of the queries with the cached keys, as any other of few rows.
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "ops/cpu/aligned_buffer.h"
#include "ops/cpu/element_rows.h"
#include "ops/cpu/few_rows_kernels.h"
#include "ops/few_rows_checks.h"
#include "ops/kernel_calls.h"

namespace setun::ops::cpu {
namespace {

// The single rows [b][head] of a tensor [B, heads, 1, head_dim].
class Heads {
 public:
  explicit Heads(const at::Tensor& x)
      : x_(x.stride(3) == 1 ? x : x.contiguous()),
        data_(static_cast<const char*>(x_.const_data_ptr())) {}
  InRow at(int64_t b, int64_t head) const {
    return {data_ + (b * x_.stride(0) + head * x_.stride(1)) * x_.element_size(), element_of(x_)};
  }

 private:
  at::Tensor x_;
  const char* data_;
};

// A head of a contiguous cache [B, kv_heads, capacity, head_dim].
struct CachedHead {
  char* data;
  Element type;
  int64_t row_bytes, width;

  CachedHead(at::Tensor& cache, int64_t index)
      : type(element_of(cache)),
        row_bytes(cache.size(3) * cache.element_size()),
        width(cache.size(3)) {
    data = static_cast<char*>(cache.data_ptr()) + index * cache.size(2) * row_bytes;
  }
  void write(int64_t position, InRow row) const {
    std::memcpy(data + position * row_bytes, row.data, static_cast<std::size_t>(row_bytes));
  }
  MatrixRows rows(int64_t count) const { return {{data, type}, count, width}; }
};

at::Tensor cached_attention(const at::Tensor& q_in, const at::Tensor& k_in, const at::Tensor& v_in,
                            at::Tensor& keys, at::Tensor& values, int64_t length) {
  check_cached_attention(q_in, k_in, v_in, keys, values, length);
  const FewRowsKernels& kernels = few_rows_kernels();
  count_kernel_call(Kernel::kCachedAttention, kernels.path);
  const Heads q(q_in), k(k_in), v(v_in);
  const int64_t width = q_in.size(3), kv_heads = keys.size(1);
  const int64_t group = q_in.size(1) / kv_heads, count = length + 1;
  const int64_t stride = padded(width, kDotBlock);
  const float scale = 1.0F / std::sqrt(static_cast<float>(width));
  at::Tensor y = at::empty({q_in.size(0), 1, q_in.size(1) * width}, q_in.options());
  auto* out = static_cast<char*>(y.data_ptr());
  at::parallel_for(
      0, q_in.size(0) * kv_heads, row_grain(count * width), [&](int64_t begin, int64_t end) {
        const AlignedBuffer<float> staged(group * stride), scores(group * count);
        for (int64_t task = begin; task < end; ++task) {
          const int64_t b = task / kv_heads, kv_head = task % kv_heads;
          const CachedHead cached_keys(keys, task), cached_values(values, task);
          cached_keys.write(length, k.at(b, kv_head));
          cached_values.write(length, v.at(b, kv_head));
          for (int64_t g = 0; g < group; ++g) {
            kernels.stage(q.at(b, kv_head * group + g), width, cached_keys.type,
                          staged.data() + g * stride);
          }
          kernels.dot(staged.data(), group, cached_keys.rows(count), width, scores.data(), count);
          for (int64_t g = 0; g < group; ++g) {
            float* row = scores.data() + g * count;
            const float total = kernels.softmax(row, count, scale);
            kernels.mix(row, cached_values.rows(count), width, total,
                        {out + (task * group + g) * width * y.element_size(), element_of(y)});
          }
        }
      });
  return y;
}

}  // namespace

TORCH_LIBRARY_IMPL(setun, CPU, m) { m.impl("cached_attention", cached_attention); }

}  // namespace setun::ops::cpu
