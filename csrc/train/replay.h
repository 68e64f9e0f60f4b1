// Where a step's loss or gradient stopped being finite: the step's micro-batches once more, with
// every layer's input, result and upstream gradient looked at. For a run that ends anyway: slow,
// and it leaves gradients of no use behind.
#pragma once

#include <string>

#include "train/task.h"

namespace setun {

// The first layer of the forward pass whose input or result is not finite, else the first that the
// backward pass reaches with a gradient that is not: "blocks.1.ffn.down: 3 of 512 elements of its
// input are not finite". "" when all of them are. The context must still hold the weights of the
// step, whose micro-batches are the last that the task sampled.
std::string replay_non_finite(Task& task, QuantContext& context, const StepState& state,
                              int64_t micro_batches);

}  // namespace setun
