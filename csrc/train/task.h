// All that the trainer knows of a model and its data: parameters, quantized layers, micro-batches
// and their loss, evaluation, a saveable position. A new kind of model is a new Task; the trainer
// does not change. A task owns its model and loaders.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "eval/eval_result.h"
#include "nn/bit_linear.h"
#include "quant/quant_context.h"
#include "train/metrics.h"

namespace setun {

// The micro-batches of one optimizer step, counted.
struct StepSample {
  int64_t valid_targets = 0;  // what the step's loss is divided by
  int64_t samples = 0;        // tokens, or samples: what rates count; padding included
};

struct MicroBatchLoss {
  at::Tensor sum;  // fp32 scalar: sum over the micro-batch's valid targets
  // Undefined, or a scalar that is added to the objective as a mean over the step's micro-batches
  // (a load-balance loss, already weighted). It is no part of the reported loss.
  at::Tensor auxiliary = {};
};

struct Task {
  Task() = default;
  virtual ~Task() = default;
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;

  // Every parameter by its checkpoint name, in a fixed order.
  virtual std::vector<NamedTensor> parameters() const = 0;
  // Every BitLinear, in the order of QuantPlan::layers.
  virtual std::vector<NamedLinear> linears() const = 0;

  // Takes the next step's micro-batches from the training data. Throws Error when there is none.
  virtual StepSample sample(int64_t micro_batches) = 0;
  // What loss() reads of the sample on the device, in a fixed order: a recorded step reads the
  // addresses it was recorded with.
  virtual std::vector<at::Tensor> sampled_tensors() const = 0;
  // Forward of one of them, with gradients, under context.state().
  virtual MicroBatchLoss loss(int64_t micro_batch, QuantContext& context) = 0;

  // Fills in what only the model knows of its layers in the step's forwards (expert_load). One
  // record per linear, in the order of linears().
  virtual void complete(std::vector<LayerRecord>& layers) const { static_cast<void>(layers); }

  // False: no validation data.
  virtual bool can_evaluate() const = 0;
  // The validation loss, without gradients; the context's quantized weights are used as they are.
  virtual EvalResult evaluate(QuantContext& context) = 0;

  // Of the next micro-batch; a checkpoint stores it.
  virtual LoaderPosition position() const = 0;
  virtual void seek(const LoaderPosition& position) = 0;
  // Identity of the training data, independent of paths; a checkpoint stores it.
  virtual std::string data_fingerprint() const = 0;
  // Throws Error saying what changed since the checkpoint that stored `saved`.
  virtual void check_fingerprint(const std::string& saved) const = 0;
};

// A module's parameters as Task::parameters() returns them.
std::vector<NamedTensor> named_tensors(const torch::nn::Module& module);

}  // namespace setun
