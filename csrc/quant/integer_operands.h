// The operands of an integer product: int8 codes of the input with a multiplier per token, 2-bit
// codes of the weight with its scales. Codes and scales are bit for bit those of fake quantization
// (quant/fake_quantize.h); values are never made. Which specs have such operands:
// LinearSpec::has_integer_form.
#pragma once

#include <ATen/core/Tensor.h>

#include "ops/ops.h"
#include "quant/linear_input.h"
#include "quant/linear_spec.h"

namespace setun {

// x_q = codes / scale. Made once per input and shared by the layers that read it.
struct IntegerInput {
  // int8 [..., K], or packed by ops::pack_int4 where 4 bits hold them. The multiplier is infinite
  // where a step is 0, and so are all codes of the token.
  ops::RowCodes rows;
  // Stands for the input in the gradient graph: [..., K] of the compute type without memory (all
  // strides 0), never read. Undefined without gradients.
  at::Tensor edge;
};

// w_q = codes * scale. Made once per optimizer step.
struct IntegerWeight {
  ops::PackedTernary packed;      // [O, I]
  ops::PackedTernary transposed;  // [I, O]; empty unless asked for
  at::Tensor scale;               // fp32 [1, 1], [O, 1] or [O, G]: G groups of I / G columns
};

// Quantizes the input behind its norm as spec says; gradients reach input.x and its gain through
// `edge`, straight through the quantizer. compute: the type of the edge, and so of its gradient.
IntegerInput integer_input(const LinearInput& input, const LinearSpec& spec,
                           at::ScalarType compute);

struct IntegerWeightOptions {
  uint64_t draws_key = 0;  // as quantize_weight's
  bool with_transposed = false;
  ops::PackedWeight known;  // of the latent, where somebody has them: QuantContext::KnownTernary
};
// latent_OI fp32. No gradient.
IntegerWeight integer_weight(const at::Tensor& latent_OI, const LinearSpec& spec,
                             const IntegerWeightOptions& options);

}  // namespace setun
