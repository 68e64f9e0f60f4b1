// cross_entropy, sum and mean over valid targets (the trainer divides by the valid targets of a
// step).
#include <ATen/ATen.h>

#include "golden/golden.h"
#include "loss/cross_entropy.h"

namespace setun::golden {

void add_loss_adapters(Adapters& adapters) {
  adapters["cross_entropy"] = [](const Arguments& arguments) -> Json {
    const at::Tensor logits = arguments.tensor("logits").requires_grad_();
    const TokenLoss loss = cross_entropy_sum(logits, arguments.tensor("targets", at::kLong));
    const bool mean = arguments.text_or("reduction", "mean") == "mean";
    const at::Tensor reduced = mean ? loss.sum / loss.valid() : loss.sum;
    reduced.backward();
    return {{"loss", to_json(reduced)}, {"grad", to_json(logits.grad())}};
  };
}

}  // namespace setun::golden
