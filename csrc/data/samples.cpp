#include "data/samples.h"

#include <algorithm>
#include <cstdio>

#include "base/counter_rng.h"
#include "base/error.h"
#include "data/windows.h"

namespace setun {
namespace {

SampleData read_source(const DataOptions& options) {
  switch (options.kind) {
    case DataKind::kXor:
      return xor_samples(options);
    case DataKind::kCsv:
      return csv_samples(options);
    case DataKind::kFolders:
      return folder_samples(options);
    case DataKind::kText:
      break;
  }
  SETUN_ASSERT(false, "text is no source of samples");
  return {};
}

void check_classes(const SampleData& data) {
  SETUN_CHECK(data.classes.size() > 1, "data: the samples are all of one class (",
              data.classes.empty() ? "none" : data.classes.front(),
              "); a classifier needs two or more");
  std::vector<int64_t> counts(data.classes.size(), 0);
  for (const int64_t label : data.train.labels) {
    ++counts[static_cast<std::size_t>(label)];
  }
  for (std::size_t i = 0; i < counts.size(); ++i) {
    SETUN_CHECK(counts[i] > 0, "data: class ", data.classes[i],
                " has no training sample; classes are the folders, or the numbers from 0 to the "
                "largest label: give it samples, or lower data.validation_fraction");
  }
}

template <class T>
uint64_t hash_of(uint64_t seed, const std::vector<T>& values) {
  return random_key(seed,
                    {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)});
}

}  // namespace

SampleData make_samples(const DataOptions& options) {
  SampleData data = read_source(options);
  check_classes(data);
  return data;
}

std::string samples_fingerprint(const Samples& samples) {
  uint64_t hash = hash_of(static_cast<uint64_t>(samples.features), samples.labels);
  hash = hash_of(hash_of(hash, samples.values), samples.words);
  hash = hash_of(hash_of(hash, samples.weights), samples.bag_starts);
  char text[40];
  std::snprintf(text, sizeof text, "samples:%016llx", static_cast<unsigned long long>(hash));
  return text;
}

Split split_samples(int64_t count, double fraction, uint64_t seed) {
  const std::vector<uint32_t> order = permutation(count, random_key(seed, "data.split"));
  const auto held_out = static_cast<int64_t>(static_cast<double>(count) * fraction);
  Split split;
  split.train.assign(order.begin(), order.end() - held_out);
  split.validation.assign(order.end() - held_out, order.end());
  std::sort(split.train.begin(), split.train.end());
  std::sort(split.validation.begin(), split.validation.end());
  return split;
}

Split given_split(int64_t train, int64_t count) {
  Split split;
  for (int64_t i = 0; i < count; ++i) {
    (i < train ? split.train : split.validation).push_back(i);
  }
  return split;
}

}  // namespace setun
