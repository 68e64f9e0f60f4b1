#include "train/language_model_task.h"

#include <cmath>

#include "eval/perplexity.h"
#include "loss/cross_entropy.h"

namespace setun {

LanguageModelTask::LanguageModelTask(DecoderLM model, std::unique_ptr<Loader> train,
                                     std::unique_ptr<Loader> validation,
                                     std::vector<TokenSlice> train_data,
                                     LanguageModelTaskOptions options)
    : model_(std::move(model)),
      train_(std::move(train)),
      validation_(std::move(validation)),
      train_data_(std::move(train_data)),
      options_(options) {}

std::vector<NamedTensor> LanguageModelTask::parameters() const { return named_tensors(*model_); }

std::vector<NamedLinear> LanguageModelTask::linears() const { return linear_layers(model_); }

StepSample LanguageModelTask::sample(int64_t micro_batches) {
  micro_batches_.clear();
  StepSample step;
  for (int64_t i = 0; i < micro_batches; ++i) {
    micro_batches_.push_back(train_->next());
    step.valid_targets += micro_batches_.back().valid_targets;
    step.samples += micro_batches_.back().tokens_BT.numel();
  }
  SETUN_CHECK(step.valid_targets > 0, "no target to predict in a step's ", micro_batches,
              " micro-batches; documents are shorter than two tokens or ",
              "data.packing leaves only padding");
  return step;
}

MicroBatchLoss LanguageModelTask::loss(int64_t micro_batch, QuantContext& context) {
  const Batch& batch = micro_batches_.at(static_cast<std::size_t>(micro_batch));
  const ForwardOptions forward{.documents_BT = batch.documents_BT,
                               .cache = nullptr,
                               .recompute_blocks = options_.recompute_blocks};
  const at::Tensor logits = model_->forward(batch.tokens_BT, context, forward);
  return {.sum = cross_entropy_sum(logits, batch.targets_BT).sum};
}

EvalResult LanguageModelTask::evaluate(QuantContext& context) {
  EvalResult result = setun::evaluate(model_, context, *validation_, options_.eval_batches);
  result.bits_per_byte = result.loss / std::log(2.0) * options_.validation_tokens_per_byte;
  return result;
}

std::string LanguageModelTask::data_fingerprint() const {
  return setun::data_fingerprint(train_data_);
}

void LanguageModelTask::check_fingerprint(const std::string& saved) const {
  setun::check_fingerprint(saved, train_data_);
}

}  // namespace setun
