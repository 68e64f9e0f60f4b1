// How often which kernel did an operator's work on which CPU path, so that tests and benchmarks can
// prove that the fast path ran and not a fallback. One relaxed addition an operator call; never
// reset, so compare two readings.
#pragma once

#include <cstdint>

#include "base/cpu_features.h"
#include "base/enum_names.h"

namespace setun {

enum class Kernel {
  kTernaryFewRows,  // ternary_linear on packed weights
  kTernaryPanels,   // ternary_linear on unpacked panels
  kQuantizePack,    // quantize_pack_absmean, quantize_pack_scaled
  kQuantizeRows,    // quantize_absmax_rows, quantize_gradient_rows
  kNormQuantize,    // rms_norm_quantize
  kAttention,       // causal_attention, forward and backward
  kFewRowsLinear,
  kInt8Linear,
  kCachedAttention,
};

template <>
struct EnumNames<Kernel> {
  static constexpr auto table =
      enum_table<Kernel>({{Kernel::kTernaryFewRows, "ternary_few_rows"},
                          {Kernel::kTernaryPanels, "ternary_panels"},
                          {Kernel::kQuantizePack, "quantize_pack"},
                          {Kernel::kQuantizeRows, "quantize_rows"},
                          {Kernel::kNormQuantize, "norm_quantize"},
                          {Kernel::kAttention, "attention"},
                          {Kernel::kFewRowsLinear, "few_rows_linear"},
                          {Kernel::kInt8Linear, "int8_linear"},
                          {Kernel::kCachedAttention, "cached_attention"}});
};

namespace ops {

// Calls so far, of this process.
int64_t kernel_calls(Kernel kernel, CpuPath path);
void count_kernel_call(Kernel kernel, CpuPath path);

}  // namespace ops
}  // namespace setun
