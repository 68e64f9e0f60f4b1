// Next-token cross-entropy over valid targets, summed: the trainer divides by the valid targets of
// the whole optimizer step, so micro-batches weigh by their tokens.
#pragma once

#include <ATen/core/Tensor.h>

namespace setun {

struct TokenLoss {
  at::Tensor sum;        // fp32 scalar, nats
  at::Tensor targets_N;  // those counted are not kIgnoreTarget

  int64_t valid() const;  // how many are counted; waits for the targets' device
};

// logits_BTV any float dtype (fp32 inside), targets_BT int64 with kIgnoreTarget = -100.
TokenLoss cross_entropy_sum(const at::Tensor& logits_BTV, const at::Tensor& targets_BT);

}  // namespace setun
