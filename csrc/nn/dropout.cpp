#include "nn/dropout.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include "base/counter_rng.h"
#include "base/error.h"

namespace setun {

at::Tensor dropout(const at::Tensor& x, double probability, uint64_t key) {
  SETUN_ASSERT(probability >= 0 && probability < 1, probability);
  if (probability == 0) {
    return x;
  }
  at::Tensor mask = at::empty(x.sizes(), at::kFloat);
  auto* factor = mask.data_ptr<float>();
  const auto kept = static_cast<float>(1 / (1 - probability));
  at::parallel_for(0, mask.numel(), 16384, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      factor[i] = random_uniform(key, static_cast<uint64_t>(i)) < probability ? 0.0F : kept;
    }
  });
  return x * mask.to(x.scalar_type());
}

}  // namespace setun
