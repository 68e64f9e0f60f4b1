// The operators once more, as slowly and plainly as possible: what the fast kernels are tested
// against, bit for bit where the result is an integer or follows the canonical order. Torch-free.
#pragma once

#include <cstdint>
#include <vector>

namespace setun::ops::reference {

struct Row {
  std::vector<int8_t> codes;
  std::vector<float> value;
  float scale = 0;
};

// One token: s = (2^(bits-1) - 1) / max(max|x|, eps); code = clip(rne(x s)); value = code / s.
Row quantize_absmax(const std::vector<float>& x, int64_t bits, double eps);

// One scale group of a weight: a = max(mean|w|, eps); code = clip(rne(w (1/a)), -1, 1); value =
// code a.
Row quantize_absmean(const std::vector<float>& w, double eps);

// x g / sqrt(mean(x^2) + eps) in double precision.
std::vector<double> rms_norm(const std::vector<double>& x, const std::vector<double>& gain,
                             double eps);

// (x - mean(x)) / sqrt(var(x) + eps) in double precision.
std::vector<double> layer_norm(const std::vector<double>& x, double eps);

// Sum in the canonical order: blocks of 4096, in each 32 lanes (element i to lane i mod 32) added
// pairwise; then the blocks: pairwise by halves.
float canonical_sum(const std::vector<float>& x);

}  // namespace setun::ops::reference
