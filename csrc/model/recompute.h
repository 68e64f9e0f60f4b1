// Gradient checkpointing (1604.06174): a part of the network keeps only its input and is computed
// again in backward, which trades a second forward for the memory of everything inside it.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace setun {

// forward(x), a list of defined tensors, with the same values and bit for bit the same gradients,
// for x and for every leaf that `forward` reads, whose .grad is accumulated in backward. `forward`
// must be deterministic and what it refers to must live, unchanged, until backward has run. x must
// require grad.
std::vector<at::Tensor> recompute_in_backward(
    const at::Tensor& x, std::function<std::vector<at::Tensor>(const at::Tensor&)> forward);

}  // namespace setun
