// Kernel of the rotary embedding (2104.09864 eq. 34), half-split pairing: (a, b) = (x_i, x_{i +
// D/2})
// -> (a cos - b sin, b cos + a sin). Included by step_kernels_impl.h only.
#pragma once

#include "ops/cpu/elements_impl.h"
#include "ops/cpu/step_kernels.h"

namespace setun::ops::cpu {
namespace {

template <class T>
void rotate_row(const T* __restrict x, const float* __restrict cos, const float* __restrict sin,
                float direction, int64_t half, T* __restrict y) {
  for (int64_t i = 0; i < half; ++i) {
    const float a = load(x, i), b = load(x, half + i), s = direction * sin[i];
    store(y, i, a * cos[i] - b * s);
    store(y, half + i, b * cos[i] + a * s);
  }
}

void rotate(InRow x, int64_t x_stride, const Rotation& rotation, int64_t heads, void* y,
            int64_t y_stride) {
  with_elements(x, [&](auto* in) {
    using T = std::remove_const_t<std::remove_pointer_t<decltype(in)>>;
    for (int64_t head = 0; head < heads; ++head) {
      rotate_row(in + head * x_stride, rotation.cos, rotation.sin, rotation.direction,
                 rotation.half, static_cast<T*>(y) + head * y_stride);
    }
  });
}

}  // namespace
}  // namespace setun::ops::cpu
