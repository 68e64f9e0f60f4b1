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

// The same with the lower median of |w|.
Row quantize_absmedian(const std::vector<float>& w, double eps);

// a as in quantize_absmean; code = sign(w) where |w| (1/a) >= u, else 0; value = code a.
Row quantize_absmean_stochastic(const std::vector<float>& w, const std::vector<float>& u,
                                double eps);

// code = 1 where w > mean(w), else -1; value = code mean|w|.
Row quantize_binary(const std::vector<float>& w);

// One token, Qp = 2^(bits-1) - 1, b = multiplier mean|x|: code = clip(rne(x (sqrt(Qp) / (b +
// eps)))); value = code (b / sqrt(Qp)).
Row quantize_act_absmean(const std::vector<float>& x, int64_t bits, double multiplier, double eps);

// One token, c = max|x|: code = 2 E2M1(6 x / c); value = code (c / 12).
Row quantize_fp4(const std::vector<float>& x);

// The nearest of {0, .5, 1, 1.5, 2, 3, 4, 6} with z's sign; ties to the even position in that list.
float round_e2m1(float z);

// One block: rounds h = 1, 2, 4, ... of (u, v) -> (u + v, u - v) for elements h apart, then 1 /
// sqrt(size).
std::vector<float> hadamard(const std::vector<float>& x);

// The k largest magnitudes, NaN above all, equal ones by index.
std::vector<bool> topk_mask(const std::vector<float>& x, int64_t k);

// A vector of the key-value cache: s = max(max|h|, eps) / (2^(bits-1) - 1); code = clip(rne(h /
// s)); value = code s.
Row quantize_kv(const std::vector<float>& h, int64_t bits, double eps);

struct OffsetRow {
  std::vector<uint8_t> codes;
  std::vector<float> value;
  float scale = 0, minimum = 0;
};

// s = max(max h - min h, eps) / (2^bits - 1); code = clip(rne((h - min h) / s)); value = min h +
// code s.
OffsetRow quantize_kv_asymmetric(const std::vector<float>& h, int64_t bits, double eps);

// x g / sqrt(mean(x^2) + eps) in double precision.
std::vector<double> rms_norm(const std::vector<double>& x, const std::vector<double>& gain,
                             double eps);

// (x - mean(x)) / sqrt(var(x) + eps) in double precision.
std::vector<double> layer_norm(const std::vector<double>& x, double eps);

// Sum in the canonical order: blocks of 4096, in each 32 lanes (element i to lane i mod 32) added
// pairwise; then the blocks: pairwise by halves.
float canonical_sum(const std::vector<float>& x);

// Codes of a gradient row: s = 127 / max(max|x|, 1e-30); clip(rne(x s)), or with draws u
// clip(floor( x s + u)).
Row quantize_gradient(const std::vector<float>& x, const std::vector<float>& u);

// Row-major ternary codes -> the packed layout of ternary_layout.h, code by code.
std::vector<uint8_t> pack_ternary(const std::vector<int8_t>& codes, int64_t rows, int64_t columns);

struct TernaryProduct {
  std::vector<int8_t> x;        // [rows, columns]
  std::vector<float> s;         // [rows]
  std::vector<int8_t> w;        // [outputs, columns]
  std::vector<float> scale;     // one, or [outputs, groups]
  std::vector<float> residual;  // [rows, outputs] or empty
  int64_t rows = 0, outputs = 0, columns = 0, groups = 1;
};

// acc = sum of x w in 64-bit integers, per group; y = acc * (scale / s) for one group, else (sum
// over groups of acc * scale) * (1 / s); plus residual. [rows, outputs].
std::vector<float> ternary_linear(const TernaryProduct& p);

}  // namespace setun::ops::reference
