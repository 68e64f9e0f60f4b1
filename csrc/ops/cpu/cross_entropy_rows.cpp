// CPU kernels of the rows of softmax cross-entropy: rows over threads.
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <cstring>

#include "base/ignore_target.h"
#include "ops/cpu/element_rows.h"
#include "ops/cpu/step_kernels.h"
#include "ops/step_checks.h"

namespace setun::ops::cpu {
namespace {

// loss(row, target) for every row whose target counts, ignored(row) for the others.
template <class Loss, class Ignored>
at::Tensor losses_of(const at::Tensor& logits, const at::Tensor& targets_in, const Loss& loss,
                     const Ignored& ignored) {
  const at::Tensor targets = targets_in.contiguous();
  at::Tensor losses = at::empty(targets.sizes(), logits.options().dtype(at::kFloat));
  const auto* target = targets.const_data_ptr<int64_t>();
  auto* out = losses.data_ptr<float>();
  const int64_t vocab = logits.size(1);
  for_rows(logits.size(0), vocab, [&](int64_t row) {
    if (target[row] == kIgnoreTarget) {
      out[row] = 0;
      ignored(row);
      return;
    }
    TORCH_CHECK_INDEX(target[row] >= 0 && target[row] < vocab, "cross_entropy_rows: target ",
                      target[row], " of row ", row, " is not one of the ", vocab, " classes");
    out[row] = loss(row, target[row]);
  });
  return losses;
}

at::Tensor cross_entropy_rows(const at::Tensor& logits, const at::Tensor& targets) {
  check_cross_entropy_rows(logits, targets);
  const InRows z(logits);
  const StepKernels& kernels = step_kernels();
  return losses_of(
      logits, targets,
      [&](int64_t row, int64_t target) { return kernels.cross_entropy(z[row], target, z.width()); },
      [](int64_t) {});
}

at::Tensor cross_entropy_rows_(at::Tensor& logits, const at::Tensor& targets) {
  check_cross_entropy_rows(logits, targets);
  TORCH_CHECK(logits.is_contiguous(),
              "cross_entropy_rows_: expected contiguous logits, got strides ", logits.strides());
  const OutRows z(logits);
  const StepKernels& kernels = step_kernels();
  const int64_t vocab = logits.size(1);
  return losses_of(
      logits, targets,
      [&](int64_t row, int64_t target) {
        return kernels.cross_entropy_gradient(z[row], target, vocab);
      },
      [&](int64_t row) {
        std::memset(z[row].data, 0, static_cast<std::size_t>(vocab * logits.element_size()));
      });
}

}  // namespace

TORCH_LIBRARY_IMPL(setun, CPU, m) {
  m.impl("cross_entropy_rows", cross_entropy_rows);
  m.impl("cross_entropy_rows_", cross_entropy_rows_);
}

}  // namespace setun::ops::cpu
