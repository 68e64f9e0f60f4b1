// What a mixture of experts costs beside a dense feed-forward part, and the sizes at which an
// MH-MoE costs the same (2411.16205 section 2). Leading terms: the expert matrices and the
// projections around them; no router, norm or gate. Torch-free.
#pragma once

#include "model/model_options.h"

namespace setun {

// Matrices of a gated expert (gate, up, down). The paper's formulas count 2, its models have 3.
inline constexpr int64_t kExpertMatrices = 3;

// A mixture over the dense feed-forward part of width `ffn` that stands in the other blocks.
struct MixtureCost {
  double parameters = 0;
  double multiplications = 0;  // of one token
};
// options.moe.experts must not be 0.
MixtureCost mixture_cost(const ModelOptions& options);

// An expert's width and the number of experts of an MH-MoE.
struct MultiHeadSizes {
  double expert_ffn = 0;
  double experts = 0;
};
// Those of as many multiplications per token, and parameters, as a plain mixture of `experts`
// experts of width `ffn` with the same number of active ones:
//   m d k ffn = 2 d^2 + m d k d_mh,   m d ffn E = 2 d^2 + m (d / h) d_mh E_mh.
// Not positive where the two projections alone cost more.
MultiHeadSizes multi_head_parity(int64_t hidden, double ffn, double experts, int64_t heads,
                                 int64_t active, int64_t matrices = kExpertMatrices);

}  // namespace setun
