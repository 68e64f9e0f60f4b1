// Language modelling as a Task: windows of tokens, next-token cross-entropy, perplexity.
#pragma once

#include <memory>

#include "data/loader.h"
#include "model/decoder_lm.h"
#include "train/task.h"

namespace setun {

struct LanguageModelTaskOptions {
  bool recompute_blocks = false;
  double balance = 0;                     // factor on the routers' balance loss; 0: not added
  int64_t eval_batches = 0;               // micro-batches of the validation split; 0: all
  double validation_tokens_per_byte = 0;  // 0: unknown, no bits per byte
};

class LanguageModelTask : public Task {
 public:
  // `train_data`: what `train` reads, for the fingerprint. `validation` may be null.
  LanguageModelTask(DecoderLM model, std::unique_ptr<Loader> train,
                    std::unique_ptr<Loader> validation, std::vector<TokenSlice> train_data,
                    LanguageModelTaskOptions options);

  std::vector<NamedTensor> parameters() const override;
  std::vector<NamedLinear> linears() const override;
  StepSample sample(int64_t micro_batches) override;
  std::vector<at::Tensor> sampled_tensors() const override;
  MicroBatchLoss loss(int64_t micro_batch, QuantContext& context) override;
  void complete(std::vector<LayerRecord>& layers) const override;
  bool can_evaluate() const override { return validation_ != nullptr; }
  EvalResult evaluate(QuantContext& context) override;
  LoaderPosition position() const override { return train_->position(); }
  void seek(const LoaderPosition& position) override { train_->seek(position); }
  std::string data_fingerprint() const override;
  void check_fingerprint(const std::string& saved) const override;

 private:
  mutable DecoderLM model_;  // a handle
  std::unique_ptr<Loader> train_, validation_;
  std::vector<TokenSlice> train_data_;
  LanguageModelTaskOptions options_;
  std::vector<Batch> micro_batches_;
  std::vector<at::Tensor> choices_E_;  // of the step so far, by block with experts
};

}  // namespace setun
