// The step kernels' only source, with the parts it includes. The file that includes it sets the
// instruction set by its compile flags and names the build by SETUN_STEP_KERNELS.
#include "ops/cpu/cross_entropy_impl.h"
#include "ops/cpu/gated_impl.h"
#include "ops/cpu/norm_backward_impl.h"
#include "ops/cpu/optimizer_impl.h"
#include "ops/cpu/rope_impl.h"
#include "ops/cpu/step_kernels.h"

namespace setun::ops::cpu {
namespace {

void dequantize(const int8_t* codes, int64_t k, float multiplier, OutRow y) {
  with_elements(y, [=](auto* out) {
    for (int64_t i = 0; i < k; ++i) {
      store(out, i, static_cast<float>(codes[i]) / multiplier);
    }
  });
}

}  // namespace

const StepKernels& SETUN_STEP_KERNELS() {
  static const StepKernels kernels = {
      .gated = gated,
      .gated_backward = gated_backward,
      .rotate = rotate,
      .rms_norm = rms_norm,
      .rms_norm_backward = rms_norm_backward,
      .layer_norm = layer_norm,
      .layer_norm_backward = layer_norm_backward,
      .adamw = adamw,
      .square_sum = square_sum,
      .cross_entropy = cross_entropy,
      .cross_entropy_gradient = cross_entropy_gradient,
      .dequantize = dequantize,
  };
  return kernels;
}

}  // namespace setun::ops::cpu
