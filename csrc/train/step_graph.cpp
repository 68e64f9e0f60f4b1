#include "train/step_graph.h"

#include <algorithm>

#include "base/error.h"

namespace setun {
namespace {

// Libraries set themselves up in the first, memory has its final place after the second.
constexpr int64_t kEagerSteps = 2;

std::unique_ptr<ops::DeviceGraph> record_or_explain(at::Device device,
                                                    const std::function<void()>& work) {
  const auto explain = [](const char* why) {
    fail("run.cuda_graph: the step cannot be recorded: ", why,
         "; set run.cuda_graph: false. The run goes on from its last checkpoint");
  };
  try {
    return ops::record(device, work);
  } catch (const c10::Error& error) {
    explain(error.what_without_backtrace());
  } catch (const std::exception& error) {
    explain(error.what());
  }
  return nullptr;
}

}  // namespace

StepGraph::StepGraph(Task& task, QuantContext& context)
    : task_(task),
      context_(context),
      stream_(task.parameters().at(0).tensor.device()),
      parameters_(task.parameters()) {}

bool StepGraph::fits() const {
  const std::vector<at::Tensor> sampled = task_.sampled_tensors();
  return std::equal(sampled.begin(), sampled.end(), recording_->sampled.begin(),
                    recording_->sampled.end(),
                    [](const at::Tensor& a, const at::Tensor& b) { return a.is_same(b); });
}

StepTensors StepGraph::compute(const StepState& state, const Compute& compute) {
  const Key key{state.phase, context_.attention().quantizes()};
  if (!(key == key_)) {
    recording_.reset();
    key_ = key;
    eager_steps_ = 0;
  }
  const bool ramps = state.phase > 0 && state.ramp < 1;
  replayed_ = !ramps && eager_steps_ >= kEagerSteps && (!recording_ || fits());
  if (!replayed_) {
    eager_steps_ += ramps ? 0 : 1;
    return compute();
  }
  if (!recording_) {
    record_compute(compute);
  }
  recording_->compute->replay();
  for (const auto& [parameter, gradient] : recording_->gradients) {
    parameter.mutable_grad() = gradient;
  }
  return recording_->results;
}

void StepGraph::record_compute(const Compute& compute) {
  context_.invalidate();  // an evaluation's codes are of this step's weights alone
  Recording made;
  made.sampled = task_.sampled_tensors();
  made.compute =
      record_or_explain(parameters_.front().tensor.device(), [&] { made.results = compute(); });
  for (const NamedTensor& item : parameters_) {
    if (item.tensor.grad().defined()) {
      made.gradients.emplace_back(item.tensor, item.tensor.grad());
    }
  }
  recording_ = std::move(made);
}

void StepGraph::update(const std::function<void()>& update) {
  if (!replayed_) {
    update();
    return;
  }
  if (recording_->update == nullptr) {
    recording_->update = record_or_explain(parameters_.front().tensor.device(), update);
  }
  recording_->update->replay();
}

}  // namespace setun
