#include "train/classifier_task.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/argmax.h>

#include <algorithm>

#include "base/counter_rng.h"
#include "base/error.h"
#include "loss/cross_entropy.h"

namespace setun {

ClassifierTask::ClassifierTask(Classifier model, std::unique_ptr<SampleLoader> train,
                               std::unique_ptr<SampleLoader> validation, int64_t eval_batches)
    : model_(std::move(model)),
      train_(std::move(train)),
      validation_(std::move(validation)),
      eval_batches_(eval_batches),
      fingerprint_(samples_fingerprint(train_->samples())) {}

std::vector<NamedTensor> ClassifierTask::parameters() const { return named_tensors(*model_); }

std::vector<NamedLinear> ClassifierTask::linears() const { return named_linears(*model_); }

StepSample ClassifierTask::sample(int64_t micro_batches) {
  micro_batches_.resize(static_cast<std::size_t>(micro_batches));
  StepSample step;
  for (SampleBatch& batch : micro_batches_) {
    batch = on_device(train_->next(), model_->device(), batch);
    step.valid_targets += batch.labels_B.numel();
  }
  step.samples = step.valid_targets;
  return step;
}

std::vector<at::Tensor> ClassifierTask::sampled_tensors() const {
  std::vector<at::Tensor> all;
  for (const SampleBatch& batch : micro_batches_) {
    all.insert(all.end(),
               {batch.labels_B, batch.values_BF, batch.words, batch.weights, batch.starts_B});
  }
  return all;
}

at::Tensor ClassifierTask::logits(const SampleBatch& batch, QuantContext& context,
                                  std::optional<uint64_t> dropout_key) {
  return model_->forward({.values_BF = batch.values_BF,
                          .words = batch.words,
                          .weights = batch.weights,
                          .starts_B = batch.starts_B},
                         context, dropout_key);
}

MicroBatchLoss ClassifierTask::loss(int64_t micro_batch, QuantContext& context) {
  const SampleBatch& batch = micro_batches_.at(static_cast<std::size_t>(micro_batch));
  const uint64_t key = random_bits(context.state().rng_key, static_cast<uint64_t>(micro_batch));
  const at::Tensor logits_BC = logits(batch, context, key);
  return {.sum = cross_entropy_sum(logits_BC.unsqueeze(1), batch.labels_B.unsqueeze(1)).sum};
}

EvalResult ClassifierTask::evaluate(QuantContext& context) {
  const c10::NoGradGuard no_grad;
  const int64_t epoch = validation_->batches_per_epoch();
  const int64_t count = eval_batches_ == 0 ? epoch : std::min(eval_batches_, epoch);
  validation_->seek({});
  EvalResult result;
  double correct = 0;
  for (int64_t i = 0; i < count; ++i) {
    const SampleBatch batch = on_device(validation_->next(), model_->device());
    const at::Tensor logits_BC = logits(batch, context, std::nullopt);
    result.loss +=
        cross_entropy_sum(logits_BC.unsqueeze(1), batch.labels_B.unsqueeze(1)).sum.item<double>();
    correct += logits_BC.argmax(1).eq(batch.labels_B).sum().item<double>();
    result.tokens += batch.labels_B.numel();
  }
  result.loss /= static_cast<double>(result.tokens);
  result.accuracy = correct / static_cast<double>(result.tokens);
  return result;
}

void ClassifierTask::check_fingerprint(const std::string& saved) const {
  SETUN_CHECK(saved == fingerprint_,
              "data: the training samples changed since the checkpoint was written (", saved,
              ", now ", fingerprint_,
              "); put the old data back, or start a new run with another run.output");
}

}  // namespace setun
