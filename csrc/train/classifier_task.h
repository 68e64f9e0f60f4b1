// Classification as a Task: labelled samples, cross-entropy, accuracy.
#pragma once

#include <memory>

#include "data/sample_loader.h"
#include "model/classifier.h"
#include "train/task.h"

namespace setun {

class ClassifierTask : public Task {
 public:
  // `validation` may be null. `eval_batches`: micro-batches of it; 0: all.
  ClassifierTask(Classifier model, std::unique_ptr<SampleLoader> train,
                 std::unique_ptr<SampleLoader> validation, int64_t eval_batches);

  std::vector<NamedTensor> parameters() const override;
  std::vector<NamedLinear> linears() const override;
  StepSample sample(int64_t micro_batches) override;
  std::vector<at::Tensor> sampled_tensors() const override;
  MicroBatchLoss loss(int64_t micro_batch, QuantContext& context) override;
  bool can_evaluate() const override { return validation_ != nullptr; }
  EvalResult evaluate(QuantContext& context) override;
  LoaderPosition position() const override { return train_->position(); }
  void seek(const LoaderPosition& position) override { train_->seek(position); }
  std::string data_fingerprint() const override { return fingerprint_; }
  void check_fingerprint(const std::string& saved) const override;

 private:
  at::Tensor logits(const SampleBatch& batch, QuantContext& context,
                    std::optional<uint64_t> dropout_key);

  Classifier model_;
  std::unique_ptr<SampleLoader> train_, validation_;
  int64_t eval_batches_;
  std::string fingerprint_;  // of the training samples
  std::vector<SampleBatch> micro_batches_;
};

}  // namespace setun
