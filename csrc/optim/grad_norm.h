// Sum of squares of a gradient: the global norm for clipping, and the cheapest finite check.
#pragma once

#include <ATen/core/Tensor.h>

namespace setun {

// sum(x^2) over an fp32 CPU tensor, accumulated in double in fixed chunks: equal for every thread
// count, and, because fp32 squares cannot overflow a double, non-finite exactly when an element is.
double sum_of_squares(const at::Tensor& x);

}  // namespace setun
