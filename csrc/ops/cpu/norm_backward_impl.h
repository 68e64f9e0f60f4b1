// The step kernels of the norms (formulas in norm_impl.h): forward with its factor, backward in two
// passes over a row that is in cache by the second. Included by step_kernels_impl.h only.
#pragma once

#include "ops/cpu/norm_impl.h"
#include "ops/cpu/step_kernels.h"

namespace setun::ops::cpu {
namespace {

float rms_norm(InRow x, const float* gain, int64_t k, double eps, float* y) {
  return with_elements(x, [&](auto* in) {
    const float factor = rms_factor_of(in, k, eps);
    scaled_row(in, gain, k, factor, y);
    return factor;
  });
}

template <class G, class T>
void rms_norm_backward_plain(const G* __restrict dy, const T* __restrict x, float f, int64_t k,
                             T* __restrict dx) {
  const float mean = blocked_sum(k, [=](int64_t i) { return load(dy, i) * load(x, i); }) * f /
                     static_cast<float>(k);
  for (int64_t i = 0; i < k; ++i) {
    store(dx, i, f * (load(dy, i) - load(x, i) * f * mean));
  }
}

template <class G, class T>
void rms_norm_backward_gain(const G* __restrict dy, const T* __restrict x,
                            const float* __restrict g, float f, int64_t k, T* __restrict dx,
                            float* __restrict dg) {
  const float mean = blocked_sum(k, [=](int64_t i) { return load(dy, i) * g[i] * load(x, i); }) *
                     f / static_cast<float>(k);
  for (int64_t i = 0; i < k; ++i) {
    const float upstream = load(dy, i), normed = load(x, i) * f;
    store(dx, i, f * (upstream * g[i] - normed * mean));
    dg[i] += upstream * normed;
  }
}

void rms_norm_backward(InRow dy, InRow x, const float* gain, float factor, int64_t k, void* dx,
                       float* d_gain) {
  with_elements(dy, [&](auto* upstream) {
    with_elements(x, [&](auto* in) {
      using T = std::remove_const_t<std::remove_pointer_t<decltype(in)>>;
      auto* out = static_cast<T*>(dx);
      if (gain == nullptr) {
        rms_norm_backward_plain(upstream, in, factor, k, out);
      } else {
        rms_norm_backward_gain(upstream, in, gain, factor, k, out, d_gain);
      }
    });
  });
}

float layer_norm(InRow x, int64_t k, double eps, float* y) {
  with_elements(x, [&](auto* in) { centred_row(in, k, y); });
  const float factor = rms_factor_of(static_cast<const float*>(y), k, eps);
  for (int64_t i = 0; i < k; ++i) {
    y[i] *= factor;
  }
  return factor;
}

template <class G, class T>
void layer_norm_backward_row(const G* __restrict dy, const float* __restrict y, float f, int64_t k,
                             T* __restrict dx) {
  const auto n = static_cast<float>(k);
  const float mean = blocked_sum(k, [=](int64_t i) { return load(dy, i); }) / n;
  const float inner = blocked_sum(k, [=](int64_t i) { return load(dy, i) * y[i]; }) / n;
  for (int64_t i = 0; i < k; ++i) {
    store(dx, i, f * ((load(dy, i) - mean) - y[i] * inner));
  }
}

void layer_norm_backward(InRow dy, const float* y, float factor, int64_t k, OutRow dx) {
  with_elements(dy, [&](auto* upstream) {
    with_elements(dx, [&](auto* out) { layer_norm_backward_row(upstream, y, factor, k, out); });
  });
}

}  // namespace
}  // namespace setun::ops::cpu
