// CPU kernels of the optimizer step and of the counter-based draws: fixed chunks over threads, so
// that no bit depends on their number.
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "base/counter_rng.h"
#include "ops/cpu/pack_weights.h"
#include "ops/cpu/row_kernels.h"
#include "ops/cpu/statistics.h"
#include "ops/cpu/step_kernels.h"
#include "ops/step_checks.h"

namespace setun::ops::cpu {
namespace {

constexpr int64_t kSquareChunk = 16384, kDrawGrain = 16384;

// The chunks are added in order. Deliberately not at::linalg_vector_norm: its parallel sum depends
// on the thread count and overflows in fp32.
at::Tensor sum_of_squares(const at::Tensor& x) {
  check_sum_of_squares(x);
  const at::Tensor dense = x.contiguous();
  const float* data = dense.const_data_ptr<float>();
  const int64_t count = dense.numel();
  const StepKernels& kernels = step_kernels();
  std::vector<double> sums((count + kSquareChunk - 1) / kSquareChunk);
  at::parallel_for(0, static_cast<int64_t>(sums.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t chunk = begin; chunk < end; ++chunk) {
      const int64_t first = chunk * kSquareChunk;
      sums[chunk] = kernels.square_sum(data + first, std::min(kSquareChunk, count - first));
    }
  });
  return at::full({}, std::accumulate(sums.begin(), sums.end(), 0.0), at::kDouble);
}

// Updates p, and calls visit(w, count) -> float with each block of its new values in cache.
template <class Visit>
std::vector<float> update_blocks(const at::Tensor& p, const at::Tensor& grad, const at::Tensor& m,
                                 const at::Tensor& v, const at::Tensor& factors,
                                 const Visit& visit) {
  check_adamw(p, grad, m, v, factors);
  const auto* f = factors.const_data_ptr<float>();
  const AdamWScalars scalars{.clip = f[0],
                             .decay = f[1],
                             .rate = f[2],
                             .correction = f[3],
                             .eps = f[4],
                             .first = f[5],
                             .beta2 = f[6],
                             .second = f[7]};
  auto *w = static_cast<float*>(p.data_ptr()), *first = static_cast<float*>(m.data_ptr()),
       *second = static_cast<float*>(v.data_ptr());
  const auto* g = grad.const_data_ptr<float>();
  const StepKernels& kernels = step_kernels();
  return block_values(p.numel(), /*threads=*/true, [&](int64_t begin, int64_t count) {
    kernels.adamw(scalars, g + begin, count, w + begin, first + begin, second + begin);
    return visit(w + begin, count);
  });
}

void adamw_(const at::Tensor& p, const at::Tensor& grad, const at::Tensor& m, const at::Tensor& v,
            const at::Tensor& factors) {
  update_blocks(p, grad, m, v, factors, [](const float*, int64_t) { return 0.0F; });
}

void adamw_ternary_(const at::Tensor& p, const at::Tensor& grad, const at::Tensor& m,
                    const at::Tensor& v, const at::Tensor& factors, double eps_in,
                    const at::Tensor& scale, const at::Tensor& packed) {
  check_adamw_ternary(p, eps_in, scale, packed, packed_bytes(p.size(0), p.size(1)));
  const RowKernels& rows = row_kernels();
  const std::vector<float> sums =
      update_blocks(p, grad, m, v, factors,
                    [&](const float* w, int64_t count) { return rows.abs_sum(w, count); });
  const auto eps = static_cast<float>(eps_in);
  const float total = sum_tree(sums.data(), static_cast<int64_t>(sums.size()));
  const float mean = total / static_cast<float>(p.numel());
  *static_cast<float*>(scale.data_ptr()) = mean < eps ? eps : mean;  // NaN stays NaN
  pack_scaled(p, scale, static_cast<uint8_t*>(packed.data_ptr()));
}

// fp32 like `like`, value(i) for its element i in row-major order.
template <class Value>
at::Tensor drawn(const at::Tensor& like, const Value& value) {
  at::Tensor out = at::empty(like.sizes(), at::kFloat);
  auto* to = out.data_ptr<float>();
  at::parallel_for(0, out.numel(), kDrawGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      to[i] = value(static_cast<uint64_t>(i));
    }
  });
  return out;
}

at::Tensor counter_uniform_like(const at::Tensor& like, int64_t key) {
  return drawn(like,
               [key](uint64_t i) { return random_uniform_float(static_cast<uint64_t>(key), i); });
}

at::Tensor dropout_mask(const at::Tensor& like, double probability, int64_t key) {
  check_draws("dropout_mask", probability);
  const auto kept = static_cast<float>(1 / (1 - probability));
  return drawn(like, [=](uint64_t i) {
    return random_uniform(static_cast<uint64_t>(key), i) < probability ? 0.0F : kept;
  });
}

}  // namespace

TORCH_LIBRARY_IMPL(setun, CPU, m) {
  m.impl("sum_of_squares", sum_of_squares);
  m.impl("adamw_", adamw_);
  m.impl("adamw_ternary_", adamw_ternary_);
  m.impl("counter_uniform_like", counter_uniform_like);
  m.impl("dropout_mask", dropout_mask);
}

}  // namespace setun::ops::cpu
