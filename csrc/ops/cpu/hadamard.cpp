// CPU kernel of the block-diagonal Hadamard transform: whole blocks are handed to threads.
#include <torch/library.h>

#include "ops/checks.h"
#include "ops/cpu/row_kernels.h"
#include "ops/cpu/rows.h"

namespace setun::ops::cpu {
namespace {

at::Tensor hadamard(const at::Tensor& x_in, int64_t block) {
  check_hadamard(x_in, block);
  const at::Tensor x = as_fp32(x_in);
  at::Tensor y = at::empty(x.sizes(), x.options());
  const auto* in = x.const_data_ptr<float>();
  auto* out = y.data_ptr<float>();
  const RowKernels& kernels = row_kernels();
  at::parallel_for(0, x.numel() / block, row_grain(block), [&](int64_t begin, int64_t end) {
    kernels.hadamard(in + begin * block, (end - begin) * block, block, out + begin * block);
  });
  return y;
}

}  // namespace

TORCH_LIBRARY_IMPL(setun, CPU, m) { m.impl("hadamard", hadamard); }

}  // namespace setun::ops::cpu
