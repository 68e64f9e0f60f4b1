// Micro-batches of labelled samples, in an order that is a function of (seed, epoch), with a
// saveable position. All in memory: no prefetch.
#pragma once

#include <ATen/core/Tensor.h>

#include "data/batch.h"
#include "data/samples.h"

namespace setun {

struct SampleBatch {
  at::Tensor values_BF;  // fp32; undefined for bags
  at::Tensor words;      // int64, of all bags of the batch; undefined for rows
  at::Tensor weights;    // fp32, of each word
  at::Tensor starts_B;   // int64: where each bag begins in words
  at::Tensor labels_B;   // int64
  LoaderPosition after;  // position once this batch has been used
};

// The batch with its tensors on a device, in the memory of an earlier one where they fit.
SampleBatch on_device(SampleBatch batch, at::Device device, const SampleBatch& kept = {});

struct SampleLoaderOptions {
  int64_t batch = 0;
  bool shuffle = false;
  bool keep_short_batch = false;  // deliver an epoch's last, smaller batch (evaluation) instead of
                                  // dropping it (training)
  uint64_t seed = 0;
};

class SampleLoader {
 public:
  SampleLoader(Samples samples, SampleLoaderOptions options);

  // Endless: a new epoch starts by itself. Throws Error when there are fewer samples than a batch.
  SampleBatch next();
  LoaderPosition position() const { return position_; }
  void seek(const LoaderPosition& position) { position_ = position; }
  int64_t batches_per_epoch() const;
  const Samples& samples() const { return samples_; }

 private:
  SampleBatch gather(const uint32_t* chosen, int64_t rows) const;

  Samples samples_;
  SampleLoaderOptions options_;
  LoaderPosition position_;
  int64_t epoch_ = -1;  // of order_
  std::vector<uint32_t> order_;
};

}  // namespace setun
