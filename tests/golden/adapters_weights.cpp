// ternary_absmedian, binary_centred, ternary_stochastic: the weight operators.
#include <ATen/ATen.h>

#include "golden/golden.h"
#include "ops/ops.h"
#include "quant/estimators/ste.h"

namespace setun::golden {
namespace {

Json ternary_absmedian(const Arguments& arguments) {
  const at::Tensor w = arguments.tensor("w").requires_grad_();
  const std::string granularity = arguments.text_or("granularity", "tensor");
  const int64_t group = granularity == "tensor" ? 0
                        : granularity == "row"  ? w.size(1)
                                                : arguments.integer("group");
  const ops::Codes q = ops::quantize_absmedian(w.detach(), group, arguments.number_or("eps", 1e-5));
  const at::Tensor value =
      straight_through(w, [&](const at::Tensor&) { return ops::dequantize_absmean(q); });
  value.backward(arguments.tensor("grad"));
  return {{"scale", to_json(q.scale.reshape({-1}))},
          {"codes", to_json(q.codes)},
          {"deq", to_json(value)},
          {"grad_w", to_json(w.grad())}};
}

// Parts along either dimension become rows with a scale each. alpha is the operator's centre, which
// it does not return: the signs check it.
Json binary_centred(const Arguments& arguments) {
  const at::Tensor w = arguments.tensor("w").requires_grad_();
  const int64_t groups = arguments.integer_or("groups", 1);
  const auto dim = arguments.integer_or("group_dim", 0);
  const at::Tensor rows = at::stack(w.detach().chunk(groups, dim));  // [groups, part...]
  const auto back = [&](const at::Tensor& x) {
    return at::cat(x.view(rows.sizes()).unbind(0), dim);
  };
  const at::Tensor flat = rows.reshape({groups, -1});
  const ops::Codes q = ops::quantize_binary(flat, flat.size(1));
  const at::Tensor value =
      straight_through(w, [&](const at::Tensor&) { return back(ops::dequantize_absmean(q)); });
  value.backward(arguments.tensor("grad"));
  return {{"alpha", to_json(flat.mean(1))},
          {"beta", to_json(q.scale.reshape({-1}))},
          {"signs", to_json(back(q.codes))},
          {"deq", to_json(value)},
          {"grad_w", to_json(w.grad())}};
}

Json ternary_stochastic(const Arguments& arguments) {
  const ops::Codes q = ops::quantize_absmean_stochastic(
      arguments.tensor("w"), arguments.tensor("u"), 0, arguments.number_or("eps", 1e-5));
  return {{"scale", to_json(q.scale.reshape({}))},
          {"codes", to_json(q.codes)},
          {"deq", to_json(ops::dequantize_absmean(q))}};
}

}  // namespace

void add_weight_adapters(Adapters& adapters) {
  adapters["ternary_absmedian"] = ternary_absmedian;
  adapters["binary_centred"] = binary_centred;
  adapters["ternary_stochastic"] = ternary_stochastic;
}

}  // namespace setun::golden
