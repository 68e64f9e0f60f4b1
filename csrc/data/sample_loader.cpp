#include "data/sample_loader.h"

#include <ATen/ops/empty.h>

#include <algorithm>

#include "base/error.h"
#include "data/windows.h"
#include "ops/devices.h"

namespace setun {

SampleLoader::SampleLoader(Samples samples, SampleLoaderOptions options)
    : samples_(std::move(samples)), options_(options) {}

int64_t SampleLoader::batches_per_epoch() const {
  const bool rest = samples_.count() % options_.batch != 0;
  return samples_.count() / options_.batch + (options_.keep_short_batch && rest ? 1 : 0);
}

SampleBatch SampleLoader::next() {
  SETUN_CHECK(batches_per_epoch() > 0, "data: there are ", samples_.count(),
              " training samples, fewer than data.batch = ", options_.batch,
              "; lower data.batch or data.validation_fraction");
  int64_t rows = std::min(options_.batch, samples_.count() - position_.window);
  if (rows <= 0 || (rows < options_.batch && !options_.keep_short_batch)) {
    position_ = {position_.epoch + 1, 0};
    rows = std::min(options_.batch, samples_.count());
  }
  if (position_.epoch != epoch_) {
    order_ = epoch_order(samples_.count(), options_.seed, position_.epoch, options_.shuffle);
    epoch_ = position_.epoch;
  }
  SampleBatch batch = gather(order_.data() + position_.window, rows);
  position_.window += rows;
  batch.after = position_;
  return batch;
}

SampleBatch SampleLoader::gather(const uint32_t* chosen, int64_t rows) const {
  SampleBatch batch;
  batch.labels_B = at::empty({rows}, at::kLong);
  const int64_t features = samples_.features;
  if (features > 0) {
    batch.values_BF = at::empty({rows, features}, at::kFloat);
    for (int64_t row = 0; row < rows; ++row) {
      std::copy_n(samples_.values.begin() + chosen[row] * features, features,
                  batch.values_BF.data_ptr<float>() + row * features);
    }
  } else {
    std::vector<int64_t> words, starts;
    std::vector<float> weights;
    for (int64_t row = 0; row < rows; ++row) {
      const std::size_t bag = chosen[row];
      const auto first = samples_.bag_starts[bag];
      const auto last = bag + 1 < samples_.bag_starts.size()
                            ? samples_.bag_starts[bag + 1]
                            : static_cast<int64_t>(samples_.words.size());
      starts.push_back(static_cast<int64_t>(words.size()));
      words.insert(words.end(), samples_.words.begin() + first, samples_.words.begin() + last);
      weights.insert(weights.end(), samples_.weights.begin() + first,
                     samples_.weights.begin() + last);
    }
    const auto as_tensor = [](const auto& values, at::ScalarType type) {
      using T = typename std::decay_t<decltype(values)>::value_type;
      at::Tensor tensor = at::empty({static_cast<int64_t>(values.size())}, type);
      std::copy(values.begin(), values.end(), tensor.data_ptr<T>());
      return tensor;
    };
    batch.words = as_tensor(words, at::kLong);
    batch.weights = as_tensor(weights, at::kFloat);
    batch.starts_B = as_tensor(starts, at::kLong);
  }
  for (int64_t row = 0; row < rows; ++row) {
    batch.labels_B.data_ptr<int64_t>()[row] = samples_.labels[chosen[row]];
  }
  return batch;
}

SampleBatch on_device(SampleBatch batch, at::Device device, const SampleBatch& kept) {
  for (at::Tensor SampleBatch::*tensor :
       {&SampleBatch::labels_B, &SampleBatch::values_BF, &SampleBatch::words, &SampleBatch::weights,
        &SampleBatch::starts_B}) {
    batch.*tensor = ops::to_device(batch.*tensor, device, kept.*tensor);
  }
  return batch;
}

}  // namespace setun
