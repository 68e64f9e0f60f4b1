// Inputs and comparisons shared by the quantizer tests.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>

#include <cstring>
#include <vector>

#include "base/cpu_features.h"
#include "support/catch.h"

namespace setun::test {

inline at::Tensor normal(at::IntArrayRef shape, int64_t seed) {
  at::manual_seed(static_cast<uint64_t>(seed));
  return at::randn(shape);
}

inline std::vector<float> row_of(const at::Tensor& x, int64_t row) {
  const at::Tensor flat = x.to(at::kFloat).contiguous().view({-1, x.size(-1)})[row].contiguous();
  return {flat.const_data_ptr<float>(), flat.const_data_ptr<float>() + flat.numel()};
}

// Equal shape, type and bits (NaN equals NaN of the same bits).
inline bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = a.contiguous(), y = b.contiguous();
  return a.sizes() == b.sizes() && a.scalar_type() == b.scalar_type() &&
         (x.nbytes() == 0 || std::memcmp(x.const_data_ptr(), y.const_data_ptr(), x.nbytes()) == 0);
}

// Equal shape and type, whatever the device.
inline bool alike(const at::Tensor& a, const at::Tensor& b) {
  return a.sizes() == b.sizes() && a.scalar_type() == b.scalar_type();
}

// The CPU paths this machine has, the portable one first.
inline std::vector<CpuPath> available_paths() {
  std::vector<CpuPath> paths;
  for (const auto& [path, name] : EnumNames<CpuPath>::table) {
    if (cpu_supports(path)) {
      paths.push_back(path);
    }
  }
  return paths;
}

inline const std::vector<int64_t> kWidths = {1, 7, 31, 32, 33, 255, 4096, 4097, 10000};

// Runs body() on every path with one and two threads, then restores both.
template <class Body>
void on_every_path(const Body& body) {
  const int threads = at::get_num_threads();
  for (const CpuPath path : available_paths()) {
    for (const int count : {1, 2}) {
      INFO("path " << enum_name(path) << ", " << count << " threads");
      force_cpu_path(path);
      at::set_num_threads(count);
      body();
    }
  }
  force_cpu_path(std::nullopt);
  at::set_num_threads(threads);
}

// Rows that meet the corners: zeros, huge, tiny, and ordinary values.
inline at::Tensor nasty_rows(int64_t width) {
  at::Tensor x = normal({6, width}, width);
  x[0].zero_();
  x[1].mul_(1e30);
  x[2].mul_(1e-30);
  x[3].mul_(1e4);
  return x;
}

}  // namespace setun::test
