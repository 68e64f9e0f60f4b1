// y = x_q w_q^T from codes: y = (codes_x codes_w) * scale / multiplier, the sum exact in int32, per
// group of columns where the weight has groups. Gradients are the straight-through estimator's
// (BitNet b1.58 FAQ section 3): dX = dY w_q, dW = dY^T x_q. What is kept for them is codes: 8 bits
// an input, 2 a weight. Deliberately absent: second derivatives.
#pragma once

#include <cstdint>

#include "quant/integer_operands.h"
#include "quant/product_options.h"

namespace setun {

struct IntegerOperands {
  IntegerInput input;
  IntegerWeight weight;
  at::Tensor leaf;  // takes dW: [O, I] fp32 with requires_grad; undefined: no dW (a frozen weight)
  at::ScalarType compute = at::kFloat;  // of y, dX and the products of backward
  InputGradient gradient = InputGradient::kExact;
  uint64_t draws_key = 0;  // of int8_stochastic
};

// [..., O] in the compute type.
at::Tensor integer_linear(const IntegerOperands& operands);

}  // namespace setun
