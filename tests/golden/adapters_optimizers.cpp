// adamw: the trainer's clipping and update, step by step.
#include <ATen/ATen.h>

#include "golden/golden.h"
#include "optim/adamw.h"

namespace setun::golden {
namespace {

// One number, or one per step.
double at_step(const Json& value, int64_t step) {
  return value.is_array() ? value.at(step).get<double>() : value.get<double>();
}

Json adamw(const Arguments& arguments) {
  at::Tensor p = arguments.tensor("p").contiguous().requires_grad_();
  const at::Tensor gradients = arguments.tensor("grads");
  const OptimOptions options{.beta1 = arguments.json("betas").at(0).get<double>(),
                             .beta2 = arguments.json("betas").at(1).get<double>(),
                             .eps = arguments.number("eps")};
  AdamW optimizer({{{{"p", p}}, 1.0, std::nullopt}}, options);
  Json history = Json::array();
  for (int64_t step = 0; step < gradients.size(0); ++step) {
    p.mutable_grad() = gradients.select(0, step).clone();
    optimizer.clip_grad_norm(arguments.number_or("clip_norm", 0));
    optimizer.step(at_step(arguments.json("lr"), step),
                   at_step(arguments.json("weight_decay"), step));
    history.push_back(to_json(p));
  }
  const std::vector<NamedParameter> state = optimizer.state();
  return {{"p", history}, {"m", to_json(state[0].tensor)}, {"v", to_json(state[1].tensor)}};
}

}  // namespace

void add_optimizer_adapters(Adapters& adapters) { adapters["adamw"] = adamw; }

}  // namespace setun::golden
