// The few-rows kernels' only source, with the parts it includes. The file that includes it sets the
// instruction set by its compile flags and names the build by SETUN_FEW_ROWS_KERNELS.
#include "ops/cpu/code_dot_impl.h"
#include "ops/cpu/few_rows_dot_impl.h"
#include "ops/cpu/few_rows_kernels.h"
#include "ops/cpu/few_rows_mix_impl.h"

namespace setun::ops::cpu {

const FewRowsKernels& SETUN_FEW_ROWS_KERNELS() {
  static const FewRowsKernels kernels = {
      .path = SETUN_FEW_ROWS_KERNELS_PATH,
      .stage = stage,
      .dot = dot,
      .add = add,
      .write = write,
      .softmax = softmax,
      .mix = mix,
      .stage_codes = stage_codes,
      .dot_codes = dot_codes,
      .finish_codes = finish_codes,
  };
  return kernels;
}

}  // namespace setun::ops::cpu
