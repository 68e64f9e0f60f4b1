// How fast this machine multiplies matrices now: what a time estimate without any finished run is
// calibrated by. Torch-free header.
#pragma once

#include <cstdint>

namespace setun::run {

// Floating point operations a second of fp32 products of 512 x 512 matrices with `threads` threads,
// the median of products repeated for about a fifth of a second. Sets the process's thread count.
double matmul_flops_per_second(int64_t threads);

}  // namespace setun::run
