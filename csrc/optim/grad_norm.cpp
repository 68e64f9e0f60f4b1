// Chunks of a fixed size are summed in parallel, then added in order, so the thread count cannot
// change the result. Deliberately not at::linalg_vector_norm: its parallel sum depends on the
// thread count and overflows in fp32.
#include "optim/grad_norm.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "ops/cpu/step_kernels.h"

namespace setun {
namespace {

constexpr int64_t kChunk = 16384;

}  // namespace

double sum_of_squares(const at::Tensor& x) {
  TORCH_CHECK(x.is_cpu() && x.scalar_type() == at::kFloat,
              "sum_of_squares: expected an fp32 CPU tensor, got ", x.toString());
  const at::Tensor dense = x.contiguous();
  const float* data = dense.const_data_ptr<float>();
  const int64_t count = dense.numel();
  const ops::cpu::StepKernels& kernels = ops::cpu::step_kernels();
  std::vector<double> sums((count + kChunk - 1) / kChunk);
  at::parallel_for(0, static_cast<int64_t>(sums.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t chunk = begin; chunk < end; ++chunk) {
      const int64_t first = chunk * kChunk;
      sums[chunk] = kernels.square_sum(data + first, std::min(kChunk, count - first));
    }
  });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

}  // namespace setun
