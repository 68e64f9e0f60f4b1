// What the kernel tests share on every route (fibers, sanitizers, nvcc's PTX, a GPU): device
// arrays, checks, a hash over every byte that a case reads back, reproducible numbers. No test
// library, so that nvcc compiles the same text.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "runtime.h"

namespace setun::cuda::testing {

struct Case {
  const char* name;
  void (*run)();
  bool quick;          // small enough for the slow routes (ThreadSanitizer, PTX)
  bool hashed = true;  // its results have a committed hash
};
std::vector<Case>& cases();

struct Register {
  Register(const char* name, void (*run)(), bool quick) {
    cases().push_back({name, run, quick, true});
  }
};
#define SETUN_CUDA_CASE(name, quick)                                                        \
  static void case_##name();                                                                \
  static const ::setun::cuda::testing::Register register_##name(#name, case_##name, quick); \
  static void case_##name()
// A case of every route, whose hash is committed.
#define SETUN_CUDA_TEST(name) SETUN_CUDA_CASE(name, true)
// A larger one, for fibers and a GPU.
#define SETUN_CUDA_LARGE_TEST(name) SETUN_CUDA_CASE(name, false)

// The cases that count what PTX does (ptx_test.cpp).
void add_ptx_cases();
// A table of instructions that the kernels issue, against the memory they must move (ptx_test.cpp).
void print_floors();

void report_failure(const char* file, int line, const std::string& what);
#define CHECK_THAT(condition)                                                 \
  do {                                                                        \
    if (!(condition)) {                                                       \
      ::setun::cuda::testing::report_failure(__FILE__, __LINE__, #condition); \
    }                                                                         \
  } while (false)
// A launcher's result.
#define CHECK_RUNS(call)                                                               \
  do {                                                                                 \
    const cudaError_t error_ = (call);                                                 \
    if (error_ != cudaSuccess) {                                                       \
      ::setun::cuda::testing::report_failure(                                          \
          __FILE__, __LINE__, std::string(#call) + ": " + cudaGetErrorString(error_)); \
    }                                                                                  \
  } while (false)

// Adds bytes to the running case's hash (FNV-1a).
void hash_bytes(const void* data, size_t bytes);

// NaN's bits are not part of the result, so every NaN is hashed as one.
template <class T>
void hash_values(const std::vector<T>& values) {
  for (T v : values) {
    if constexpr (std::is_floating_point_v<T>) {
      v = v != v ? std::numeric_limits<T>::quiet_NaN() : v;
    }
    hash_bytes(&v, sizeof v);
  }
}

// An array in device memory, of exactly its size, so that any access outside is seen.
template <class T>
class Device {
 public:
  explicit Device(size_t count) : count_(count) {
    if (cudaMalloc(reinterpret_cast<void**>(&data_), bytes()) != cudaSuccess) {
      std::abort();
    }
  }
  explicit Device(const std::vector<T>& values) : Device(values.size()) {
    if (!values.empty() &&
        cudaMemcpy(data_, values.data(), bytes(), cudaMemcpyHostToDevice) != cudaSuccess) {
      std::abort();
    }
  }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  ~Device() { cudaFree(data_); }

  T* data() const { return data_; }
  size_t bytes() const { return count_ * sizeof(T); }

  // Copies back and hashes.
  std::vector<T> read() const {
    std::vector<T> values(count_);
    if (cudaDeviceSynchronize() != cudaSuccess ||
        cudaMemcpy(values.data(), data_, bytes(), cudaMemcpyDeviceToHost) != cudaSuccess) {
      report_failure(__FILE__, __LINE__, "reading device memory");
    }
    hash_values(values);
    return values;
  }

 private:
  T* data_ = nullptr;
  size_t count_;
};

// SplitMix64: the same numbers with every compiler.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t bits() {
    state_ += 0x9E3779B97F4A7C15ull;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
  }
  float uniform(float low, float high) {
    return low + (high - low) * static_cast<float>(bits() >> 40) * 0x1p-24f;
  }
  int integer(int low, int high) {  // both included
    return low + static_cast<int>(bits() % static_cast<uint64_t>(high - low + 1));
  }

 private:
  uint64_t state_;
};

// Values of mixed magnitudes, some zero, some equal.
std::vector<float> values(size_t count, uint64_t seed);
std::vector<float> rounded_to_bf16(std::vector<float> x);
std::vector<bf16> as_bf16(const std::vector<float>& x);
float widened(bf16 x);

// Whether a and b have the same bits, or are both NaN.
bool same(float a, float b);
template <class A, class B>
bool all_same(const A& a, const B& b) {
  if (a.size() != b.size()) {
    return false;
  }
  for (size_t i = 0; i < a.size(); ++i) {
    if constexpr (std::is_same_v<typename A::value_type, float>) {
      if (!same(a[i], b[i])) {
        return false;
      }
    } else if (a[i] != b[i]) {
      return false;
    }
  }
  return true;
}

}  // namespace setun::cuda::testing
