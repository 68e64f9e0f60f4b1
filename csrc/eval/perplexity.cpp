#include "eval/perplexity.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "eval/token_loss.h"

namespace setun {

EvalResult evaluate(DecoderLM& model, QuantContext& context, Loader& loader, int64_t batches) {
  const c10::NoGradGuard no_grad;
  const int64_t epoch = loader.batches_per_epoch();
  const int64_t count = batches == 0 ? epoch : std::min(batches, epoch);
  loader.seek({});
  double sum = 0;
  EvalResult result;
  for (int64_t i = 0; i < count; ++i) {
    const Batch batch = on_device(loader.next(), model->device());
    const TokenLoss loss = token_loss(model, context, batch.tokens_BT, batch.targets_BT,
                                      {.documents_BT = batch.documents_BT});
    sum += loss.sum.item<double>();
    result.tokens += batch.valid_targets;
  }
  SETUN_CHECK(result.tokens > 0, "evaluation: no valid target in ", count,
              " micro-batches of the validation split; give it more text or raise eval.batches");
  result.loss = sum / static_cast<double>(result.tokens);
  result.perplexity = std::exp(result.loss);
  return result;
}

}  // namespace setun
