// CPU kernels of the sparsity masks and of the uniform draws.
#include <torch/library.h>

#include "base/counter_rng.h"
#include "ops/checks.h"
#include "ops/cpu/row_kernels.h"
#include "ops/cpu/rows.h"

namespace setun::ops::cpu {
namespace {

// Keeps `keep` of every `length` consecutive elements.
at::Tensor top_of_every(const at::Tensor& x_in, int64_t length, int64_t keep) {
  const at::Tensor x = as_fp32(x_in);
  at::Tensor mask = at::empty(x.sizes(), x.options().dtype(at::kBool));
  const auto* in = x.const_data_ptr<float>();
  auto* out = mask.data_ptr<bool>();
  const RowKernels& kernels = row_kernels();
  at::parallel_for(0, x.numel() / length, row_grain(length), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      kernels.top_mask(in + i * length, length, keep, out + i * length);
    }
  });
  return mask;
}

at::Tensor topk_mask(const at::Tensor& x, int64_t k) {
  check_topk_mask(x, k);
  return top_of_every(x, x.size(-1), k);
}

at::Tensor nm_mask(const at::Tensor& x, int64_t n, int64_t m) {
  check_nm_mask(x, n, m);
  return top_of_every(x, m, n);
}

at::Tensor counter_uniform(int64_t count, int64_t key) {
  TORCH_CHECK(count >= 0, "counter_uniform: count must not be negative, got ", count);
  at::Tensor draws = at::empty({count}, at::kFloat);
  auto* out = draws.data_ptr<float>();
  at::parallel_for(0, count, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      out[i] = random_uniform_float(static_cast<uint64_t>(key), static_cast<uint64_t>(i));
    }
  });
  return draws;
}

}  // namespace

TORCH_LIBRARY_IMPL(setun, CPU, m) {
  m.impl("topk_mask", topk_mask);
  m.impl("nm_mask", nm_mask);
}
// No argument is a tensor, so there is no device to dispatch on: the draws are made on the CPU.
TORCH_LIBRARY_IMPL(setun, CompositeExplicitAutograd, m) {
  m.impl("counter_uniform", counter_uniform);
}

}  // namespace setun::ops::cpu
