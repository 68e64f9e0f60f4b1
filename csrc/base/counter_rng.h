// Counter-based random numbers: draw i of a key is a pure function of (key, i), so draws need no
// state, no order and no global generator, and are equal on every machine and thread count. The
// function is SplitMix64 (Steele, Lea & Flood 2014), whose i-th output is mix64(key + (i + 1) *
// golden). Not for cryptography.
#pragma once

#include <cstdint>
#include <string_view>

namespace setun {

constexpr uint64_t mix64(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

constexpr uint64_t random_bits(uint64_t key, uint64_t counter) {
  return mix64(key + (counter + 1) * 0x9E3779B97F4A7C15ULL);
}

// Uniform in [0, 1) with 53 bits.
constexpr double random_uniform(uint64_t key, uint64_t counter) {
  return static_cast<double>(random_bits(key, counter) >> 11) * 0x1.0p-53;
}

// Uniform in [0, 1) with 24 bits, as many as fp32 holds.
constexpr float random_uniform_float(uint64_t key, uint64_t counter) {
  return static_cast<float>(random_bits(key, counter) >> 40) * 0x1.0p-24F;
}

// An independent key for each (seed, name): FNV-1a of the name, mixed with the seed.
constexpr uint64_t random_key(uint64_t seed, std::string_view name) {
  uint64_t hash = 0xCBF29CE484222325ULL;
  for (const char c : name) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
  }
  return mix64(hash + mix64(seed + 0x9E3779B97F4A7C15ULL));
}

}  // namespace setun
