// XOR with noise inputs (2411.05882, examples/xor of its code): a uniform random bit an input,
// class = first xor second. Validation samples are further draws, so they repeat training inputs
// when there are few possible ones.
#include "base/counter_rng.h"
#include "data/samples.h"

namespace setun {
namespace {

Samples draw(const XorOptions& options, int64_t count, uint64_t key) {
  Samples samples;
  samples.features = 2 + options.noise;
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t j = 0; j < samples.features; ++j) {
      const uint64_t bits = random_bits(key, static_cast<uint64_t>(i * samples.features + j));
      samples.values.push_back(static_cast<float>(bits >> 63));
    }
    const float* row = samples.values.data() + i * samples.features;
    samples.labels.push_back(row[0] != row[1] ? 1 : 0);
  }
  return samples;
}

}  // namespace

SampleData xor_samples(const DataOptions& options) {
  const auto seed = static_cast<uint64_t>(options.seed);
  return {.train = draw(options.xor_bits, options.xor_bits.samples, random_key(seed, "xor.train")),
          .validation = draw(options.xor_bits, options.xor_bits.validation_samples,
                             random_key(seed, "xor.validation")),
          .classes = {"equal", "different"}};
}

}  // namespace setun
