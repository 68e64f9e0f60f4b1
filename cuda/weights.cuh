// Device functions of the weight quantizers: a group's statistic, and codes of four weights.
#pragma once

#include "reduce.cuh"
#include "vectors.cuh"
#include "weights.h"

namespace setun::cuda {

// |x|, or NaN for an x that is not finite.
__device__ __forceinline__ float magnitude_term(float x) { return fabsf(x) + 0.0f * x; }

__device__ __forceinline__ void store_statistic(const WeightScaleParams& p, int64_t group,
                                                float magnitude, float sum, int64_t count) {
  const float n = static_cast<float>(count), mean = magnitude / n;
  if (p.rule == WeightRule::kBinary) {
    p.scale[group] = mean != mean ? quiet_nan() : mean;
    p.centre[group] = sum / n;
    return;
  }
  p.scale[group] = mean != mean ? quiet_nan() : fmaxf(mean, p.eps);
}

// Three-valued code of one weight; inverse = 1 / scale.
__device__ __forceinline__ int weight_code(const TernaryParams& p, float w, float inverse,
                                           float centre, float draw) {
  switch (p.rule) {
    case WeightRule::kAbsmean:
      return rounded_code(w * inverse, -1.0f, 1.0f);
    case WeightRule::kAbsmeanStochastic:
      return fabsf(w) * inverse >= draw ? (w > 0) - (w < 0) : 0;
    case WeightRule::kBinary:
      return w > centre ? 1 : -1;
  }
  return 0;
}

// Codes of columns column .. column + 3 of a row, those inside; also stored when p.codes is given.
template <class T>
__device__ __forceinline__ void four_codes(const TernaryParams& p, const T* w, int64_t row,
                                           int64_t column, int (&code)[4]) {
  const int64_t at = row * p.columns + column;
  const bool whole = p.columns % 4 == 0;  // then rows stay aligned
  float value[4] = {};
  if (whole) {
    load_four(w + at, value);
  }
  for (int b = 0; b < 4; ++b) {
    if (column + b >= p.columns) {
      break;
    }
    const int64_t group = p.group == 0 ? 0 : (at + b) / p.group;
    const float scale = p.scale[group];
    const float v = whole ? value[b] : to_float(w[at + b]);
    const float centre = p.rule == WeightRule::kBinary ? p.centre[group] : 0.0f;
    const float draw = p.rule == WeightRule::kAbsmeanStochastic ? p.draws[at + b] : 0.0f;
    code[b] = scale == scale ? weight_code(p, v, 1.0f / scale, centre, draw) : 0;
  }
  if (p.codes == nullptr) {
    return;
  }
  if (whole) {
    store_four(p.codes + at, code);
    return;
  }
  for (int b = 0; b < 4 && column + b < p.columns; ++b) {
    p.codes[at + b] = static_cast<int8_t>(code[b]);
  }
}

}  // namespace setun::cuda
