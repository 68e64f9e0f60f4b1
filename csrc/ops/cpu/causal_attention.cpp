// CPU kernels of causal_attention: the heads of a batch over threads, a query head each in the
// forward pass, a key head with all of its query heads in the backward pass, so that no gradient is
// added to by two threads.
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <tuple>
#include <vector>

#include "ops/cpu/aligned_buffer.h"
#include "ops/cpu/attention_kernels.h"
#include "ops/cpu/element_rows.h"
#include "ops/kernel_calls.h"
#include "ops/step_checks.h"

namespace setun::ops::cpu {
namespace {

using OptionalTensor = std::optional<at::Tensor>;

// A tensor [B, H, T, D] with dense D as one matrix [T, D] a head.
class Heads {
 public:
  explicit Heads(const at::Tensor& x)
      : x_(x.stride(3) == 1 || x.size(3) == 1 ? x : x.contiguous()) {}
  InMatrix in(int64_t b, int64_t h) const { return {address(b, h), element_of(x_), x_.stride(2)}; }
  OutMatrix out(int64_t b, int64_t h) const {
    return {address(b, h), element_of(x_), x_.stride(2)};
  }

 private:
  char* address(int64_t b, int64_t h) const {
    return static_cast<char*>(const_cast<void*>(x_.const_data_ptr())) +
           (b * x_.stride(0) + h * x_.stride(1)) * x_.element_size();
  }

  at::Tensor x_;
};

// The shape of every head, with the first keys of each sequence.
class Shapes {
 public:
  Shapes(const at::Tensor& q, const at::Tensor& k, const OptionalTensor& first)
      : shape_{q.size(2), k.size(2), q.size(3), nullptr,
               static_cast<float>(1 / std::sqrt(static_cast<double>(q.size(3))))} {
    if (!first) {
      return;
    }
    first_ = first->contiguous();
    const auto* data = first_.const_data_ptr<int64_t>();
    for (int64_t i = 0; i < first_.numel(); ++i) {
      const int64_t last = shape_.keys - shape_.queries + i % shape_.queries;
      TORCH_CHECK(data[i] >= 0 && data[i] <= last, "causal_attention: first key ", data[i],
                  " of query ", i % shape_.queries, " is not between 0 and its last, ", last);
    }
  }
  AttentionShape of(int64_t b) const {
    AttentionShape shape = shape_;
    if (first_.defined()) {
      shape.first =
          first_.const_data_ptr<int64_t>() + (first_.size(0) == 1 ? 0 : b) * shape.queries;
    }
    return shape;
  }

 private:
  AttentionShape shape_;
  at::Tensor first_;
};

at::Tensor empty_heads(const at::Tensor& like) {  // in the memory order of [B, T, H, D]
  return at::empty({like.size(0), like.size(2), like.size(1), like.size(3)}, like.options())
      .transpose(1, 2);
}

// body(task, scratch) for every task, with scratch memory of a thread's own.
template <class Body>
void for_tasks(int64_t tasks, int64_t scratch_floats, const Body& body) {
  at::parallel_for(0, tasks, 1, [&](int64_t begin, int64_t end) {
    const AlignedBuffer<float> scratch(scratch_floats);
    for (int64_t task = begin; task < end; ++task) {
      body(task, scratch.data());
    }
  });
}

std::tuple<at::Tensor, at::Tensor> causal_attention_forward(const at::Tensor& q_in,
                                                            const at::Tensor& k_in,
                                                            const at::Tensor& v_in,
                                                            const OptionalTensor& first) {
  check_causal_attention(q_in, k_in, v_in, first);
  const int64_t batch = q_in.size(0), heads = q_in.size(1), queries = q_in.size(2);
  const int64_t shared = heads / k_in.size(1);
  at::Tensor result = empty_heads(q_in);
  at::Tensor lse = at::empty({batch, heads, queries}, q_in.options().dtype(at::kFloat));
  if (result.numel() == 0) {
    return {result, lse};
  }
  const Heads q(q_in), k(k_in), v(v_in), out(result);
  const Shapes shapes(q_in, k_in, first);
  const AttentionKernels& kernels = attention_kernels();
  auto* sums = lse.data_ptr<float>();
  for_tasks(batch * heads, kernels.forward_scratch(shapes.of(0)),
            [&](int64_t task, float* scratch) {
              const int64_t b = task / heads, h = task % heads;
              kernels.forward(shapes.of(b), q.in(b, h), k.in(b, h / shared), v.in(b, h / shared),
                              out.out(b, h), sums + task * queries, scratch);
            });
  count_kernel_call(Kernel::kAttention, cpu_path());
  return {result, lse};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> causal_attention_backward(
    const at::Tensor& grad_in, const at::Tensor& out_in, const at::Tensor& lse_in,
    const at::Tensor& q_in, const at::Tensor& k_in, const at::Tensor& v_in,
    const OptionalTensor& first) {
  check_causal_attention(q_in, k_in, v_in, first);
  check_alike("causal_attention_backward", "grad", grad_in, q_in);
  check_alike("causal_attention_backward", "out", out_in, q_in);
  const int64_t batch = q_in.size(0), heads = q_in.size(1), queries = q_in.size(2);
  const int64_t groups = k_in.size(1), shared = heads / groups;
  at::Tensor grad_q = empty_heads(q_in), grad_k = empty_heads(k_in), grad_v = empty_heads(v_in);
  if (q_in.numel() == 0) {
    return {grad_q, grad_k.zero_(), grad_v.zero_()};
  }
  const Heads q(q_in), k(k_in), v(v_in), out(out_in), grad(grad_in);
  const Heads dq(grad_q), dk(grad_k), dv(grad_v);
  const at::Tensor lse = lse_in.contiguous();
  const auto* sums = lse.const_data_ptr<float>();
  const Shapes shapes(q_in, k_in, first);
  const AttentionKernels& kernels = attention_kernels();
  for_tasks(batch * groups, kernels.backward_scratch(shapes.of(0)),
            [&](int64_t task, float* scratch) {
              const int64_t b = task / groups, g = task % groups;
              std::vector<AttentionHead> members;
              for (int64_t h = g * shared; h < (g + 1) * shared; ++h) {
                members.push_back({q.in(b, h), out.in(b, h), grad.in(b, h),
                                   sums + (b * heads + h) * queries, dq.out(b, h)});
              }
              kernels.backward(shapes.of(b), k.in(b, g), v.in(b, g), members.data(), shared,
                               dk.out(b, g), dv.out(b, g), scratch);
            });
  count_kernel_call(Kernel::kAttention, cpu_path());
  return {grad_q, grad_k, grad_v};
}

at::Tensor causal_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const OptionalTensor& first) {
  return std::get<0>(causal_attention_forward(q, k, v, first));
}

}  // namespace

TORCH_LIBRARY_IMPL(setun, CPU, m) {
  m.impl("causal_attention", causal_attention);
  m.impl("causal_attention_forward", causal_attention_forward);
  m.impl("causal_attention_backward", causal_attention_backward);
}

}  // namespace setun::ops::cpu
