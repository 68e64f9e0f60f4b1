// One micro-batch, and the loader's exact position.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "base/ignore_target.h"

namespace setun {

// The next window to be delivered. Enough to continue bit-exactly: order is a function of (seed,
// epoch).
struct LoaderPosition {
  int64_t epoch = 0;
  int64_t window = 0;  // index into the epoch's order
  bool operator==(const LoaderPosition&) const = default;
};

struct Batch {
  at::Tensor tokens_BT;     // int64
  at::Tensor targets_BT;    // int64; kIgnoreTarget where nothing is to be predicted
  at::Tensor documents_BT;  // int64 document numbers with packing isolate; else undefined
  int64_t valid_targets = 0;
  LoaderPosition after;  // position once this batch has been used
};

// The batch with its tensors on a device, in the memory of an earlier one where they fit.
Batch on_device(Batch batch, at::Device device, const Batch& kept = {});

}  // namespace setun
