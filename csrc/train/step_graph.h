// run.cuda_graph: the device's half of a training step as two graphs, recorded once and replayed.
// The first is everything from quantizing the weights to the gradient's norm, the second the
// optimizer's update; between them the host reads loss and norm and decides. Steps that differ from
// the recorded one (a ramp, a new phase, measured layers) run as always. Deliberately absent:
// whatever draws a number by the step or shapes tensors by the data, which run/check.cpp refuses.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "ops/device_graph.h"
#include "train/task.h"

namespace setun {

// What the first half leaves on the device for the host to read: double scalars.
struct StepTensors {
  at::Tensor loss_sum;
  at::Tensor auxiliary;     // undefined: none
  at::Tensor grad_squares;  // undefined: no parameter has a gradient
};

class StepGraph {
 public:
  using Compute = std::function<StepTensors()>;

  StepGraph(Task& task, QuantContext& context);

  // What compute() returns, its gradients in the parameters' .grad: run, or recorded and replayed.
  // `state` has begun in the context. Throws Error when a step cannot be recorded.
  StepTensors compute(const StepState& state, const Compute& compute);
  // The same for the update that follows a compute(); an eager one's is not recorded.
  void update(const std::function<void()>& update);

 private:
  // What host code between launches depends on; another key is another graph.
  struct Key {
    int64_t phase = -1;
    bool quantized_attention = false;
    bool operator==(const Key&) const = default;
  };
  struct Recording {
    std::vector<at::Tensor> sampled;
    std::unique_ptr<ops::DeviceGraph> compute, update;
    StepTensors results;
    std::vector<std::pair<at::Tensor, at::Tensor>> gradients;  // parameter, its .grad
  };

  void record_compute(const Compute& compute);
  bool fits() const;  // the sample lies where the recording reads

  Task& task_;
  QuantContext& context_;
  ops::RecordableStream stream_;
  std::vector<NamedTensor> parameters_;
  Key key_;
  int64_t eager_steps_ = 0;  // since key_ began
  std::optional<Recording> recording_;
  bool replayed_ = false;  // the last compute()
};

}  // namespace setun
