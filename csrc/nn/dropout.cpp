#include "nn/dropout.h"

#include <ATen/TensorOperators.h>

#include "base/error.h"
#include "ops/step_ops.h"

namespace setun {

at::Tensor dropout(const at::Tensor& x, double probability, uint64_t key) {
  SETUN_ASSERT(probability >= 0 && probability < 1, probability);
  if (probability == 0) {
    return x;
  }
  const at::Tensor mask = ops::dropout_mask(x.detach(), probability, static_cast<int64_t>(key));
  return x * mask.to(x.scalar_type());
}

}  // namespace setun
