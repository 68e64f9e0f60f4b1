// Inputs and comparisons shared by the quantizer tests.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>

#include <cstring>
#include <vector>

#include "base/cpu_features.h"

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
         std::memcmp(x.const_data_ptr(), y.const_data_ptr(), x.nbytes()) == 0;
}

// The CPU paths this machine has, the portable one first.
inline std::vector<CpuPath> available_paths() {
  std::vector<CpuPath> paths;
  for (const CpuPath path : {CpuPath::kScalar, CpuPath::kAvx2, CpuPath::kAvx512}) {
    if (path <= best_cpu_path()) {
      paths.push_back(path);
    }
  }
  return paths;
}

}  // namespace setun::test
