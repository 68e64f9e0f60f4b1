#include "train/language_model_task.h"

#include <cmath>

#include "eval/perplexity.h"
#include "eval/token_loss.h"
#include "model/layer_table.h"

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
  micro_batches_.resize(static_cast<std::size_t>(micro_batches));
  choices_E_.clear();
  StepSample step;
  for (Batch& batch : micro_batches_) {
    batch = on_device(train_->next(), model_->device(), batch);
    step.valid_targets += batch.valid_targets;
    step.samples += batch.tokens_BT.numel();
  }
  SETUN_CHECK(step.valid_targets > 0, "no target to predict in a step's ", micro_batches,
              " micro-batches; documents are shorter than two tokens or ",
              "data.packing leaves only padding");
  return step;
}

std::vector<at::Tensor> LanguageModelTask::sampled_tensors() const {
  std::vector<at::Tensor> all;
  for (const Batch& batch : micro_batches_) {
    all.insert(all.end(), {batch.tokens_BT, batch.targets_BT, batch.documents_BT});
  }
  return all;
}

MicroBatchLoss LanguageModelTask::loss(int64_t micro_batch, QuantContext& context) {
  const Batch& batch = micro_batches_.at(static_cast<std::size_t>(micro_batch));
  RouterReport routers;
  const ForwardOptions forward{.documents_BT = batch.documents_BT,
                               .cache = nullptr,
                               .recompute_blocks = options_.recompute_blocks,
                               .routers = &routers};
  const TokenLoss loss = token_loss(model_, context, batch.tokens_BT, batch.targets_BT, forward);
  for (std::size_t i = 0; i < routers.counts_E.size(); ++i) {
    if (i == choices_E_.size()) {
      choices_E_.push_back(routers.counts_E[i]);
    } else {
      choices_E_[i] = choices_E_[i] + routers.counts_E[i];
    }
  }
  const bool balanced = options_.balance > 0 && routers.balance.defined();
  return {.sum = loss.sum,
          .auxiliary = balanced ? routers.balance * options_.balance : at::Tensor()};
}

void LanguageModelTask::complete(std::vector<LayerRecord>& layers) const {
  const std::vector<LayerInfo> table = layer_table(model_->options);
  SETUN_ASSERT(layers.size() == table.size(), layers.size(), " records of ", table.size(),
               " layers");
  std::size_t mixture = 0;
  for (std::size_t i = 0; i < table.size(); ++i) {
    if (table[i].role == Role::kRouter) {
      const at::Tensor& choices_E = choices_E_.at(mixture++);
      layers[i].expert_load =
          choices_E.max().item<double>() / static_cast<double>(choices_E.sum().item<int64_t>());
    }
  }
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
