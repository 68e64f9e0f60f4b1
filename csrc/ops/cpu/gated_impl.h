// Kernels of the gated activations. With s = 1 / (1 + exp(-g)) and r = max(g, 0):
//   SwiGLU     y = g / (1 + exp(-g)) u   dg = dy u (s (1 + g (1 - s)))   du = dy (g s)
//   ReLU2-GLU  y = r^2 u                 dg = dy u (2 r)                 du = dy r^2
// Included by step_kernels_impl.h only.
#pragma once

#include "ops/cpu/elements_impl.h"
#include "ops/cpu/exp_impl.h"
#include "ops/cpu/step_kernels.h"

namespace setun::ops::cpu {
namespace {

struct Silu {
  static float value(float g) { return g / (1.0F + exp_of(-g)); }
  // The activation and its derivative, from one exponential.
  static void both(float g, float& value, float& slope) {
    const float s = 1.0F / (1.0F + exp_of(-g));
    value = g * s;
    slope = s * (1.0F + g * (1.0F - s));
  }
};

struct Relu2 {
  static float positive(float g) { return g < 0.0F ? 0.0F : g; }  // keeps NaN
  static float value(float g) { return positive(g) * positive(g); }
  static void both(float g, float& value, float& slope) {
    const float r = positive(g);
    value = r * r;
    slope = 2.0F * r;
  }
};

template <class Act, class T>
void gated_row(const T* __restrict gate, const T* __restrict up, int64_t k, T* __restrict y) {
  for (int64_t i = 0; i < k; ++i) {
    store(y, i, Act::value(load(gate, i)) * load(up, i));
  }
}

template <class Act, class T>
void gated_backward_row(const T* __restrict dy, const T* __restrict gate, const T* __restrict up,
                        int64_t k, T* __restrict d_gate, T* __restrict d_up) {
  for (int64_t i = 0; i < k; ++i) {
    float value = 0, slope = 0;
    Act::both(load(gate, i), value, slope);
    const float upstream = load(dy, i);
    store(d_gate, i, upstream * load(up, i) * slope);
    store(d_up, i, upstream * value);
  }
}

void gated(GatedKind kind, InRow gate, InRow up, int64_t k, void* y) {
  with_elements(gate, [&](auto* g) {
    using T = std::remove_const_t<std::remove_pointer_t<decltype(g)>>;
    const auto* u = static_cast<const T*>(up.data);
    auto* out = static_cast<T*>(y);
    kind == GatedKind::kSilu ? gated_row<Silu>(g, u, k, out) : gated_row<Relu2>(g, u, k, out);
  });
}

void gated_backward(GatedKind kind, InRow dy, InRow gate, InRow up, int64_t k, void* d_gate,
                    void* d_up) {
  with_elements(gate, [&](auto* g) {
    using T = std::remove_const_t<std::remove_pointer_t<decltype(g)>>;
    const auto *u = static_cast<const T*>(up.data), *upstream = static_cast<const T*>(dy.data);
    auto *dg = static_cast<T*>(d_gate), *du = static_cast<T*>(d_up);
    kind == GatedKind::kSilu ? gated_backward_row<Silu>(upstream, g, u, k, dg, du)
                             : gated_backward_row<Relu2>(upstream, g, u, k, dg, du);
  });
}

}  // namespace
}  // namespace setun::ops::cpu
