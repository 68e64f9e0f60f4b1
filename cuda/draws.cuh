// Draw `index` of a key: SplitMix64, as csrc/base/counter_rng.h.
#pragma once

#include "gpu.h"

namespace setun::cuda {

__device__ __forceinline__ uint64_t random_word(uint64_t key, int64_t index) {
  uint64_t x = key + (static_cast<uint64_t>(index) + 1) * 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

// Uniform in [0, 1).
__device__ __forceinline__ float uniform_draw(uint64_t key, int64_t index) {
  return static_cast<float>(random_word(key, index) >> 40) * 5.9604644775390625e-8f;  // 2^-24
}

}  // namespace setun::cuda
