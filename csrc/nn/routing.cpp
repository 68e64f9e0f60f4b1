#include "nn/routing.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/bincount.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/max.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/sort.h>
#include <ATen/ops/stack.h>
#include <torch/csrc/autograd/custom_function.h>

#include <limits>

#include "base/error.h"

namespace setun {
namespace {

// K rounds of a row maximum, which takes the first of equal values; a partial sort would leave ties
// to its implementation.
at::Tensor largest(const at::Tensor& logits_NE, int64_t active) {
  const c10::NoGradGuard no_grad;
  at::Tensor left_NE = logits_NE.detach().clone();
  std::vector<at::Tensor> choices;
  for (int64_t k = 0; k < active; ++k) {
    const at::Tensor choice_N1 = std::get<1>(at::max(left_NE, 1, /*keepdim=*/true));
    left_NE.scatter_(1, choice_N1, -std::numeric_limits<double>::infinity());
    choices.push_back(choice_N1.squeeze(1));
  }
  return at::stack(choices, 1);
}

// x[rows]. copies_NC: where the C copies of each row of x stand in the result, so that backward
// gathers too and adds in that order, instead of scattering.
struct GatherRows : torch::autograd::Function<GatherRows> {
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& x_ND,
                            const at::Tensor& rows_M, const at::Tensor& copies_NC) {
    ctx->save_for_backward({copies_NC});
    return x_ND.index_select(0, rows_M);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list upstream) {
    const at::Tensor copies_NC = ctx->get_saved_variables()[0];
    at::Tensor grad_ND = upstream[0].index_select(0, copies_NC.select(1, 0));
    for (int64_t copy = 1; copy < copies_NC.size(1); ++copy) {
      grad_ND.add_(upstream[0].index_select(0, copies_NC.select(1, copy)));
    }
    return {grad_ND, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

Routing route(const at::Tensor& logits_NE, int64_t active, bool normalize_gates) {
  SETUN_ASSERT(logits_NE.dim() == 2 && logits_NE.scalar_type() == at::kFloat, "router logits ",
               logits_NE.toString(), " ", logits_NE.sizes());
  const int64_t rows = logits_NE.size(0), experts = logits_NE.size(1);
  const at::Tensor probabilities_NE = at::softmax(logits_NE, 1);
  Routing routing;
  routing.experts_NK = largest(logits_NE, active);
  routing.gates_NK = probabilities_NE.gather(1, routing.experts_NK);
  if (normalize_gates) {
    routing.gates_NK = routing.gates_NK / routing.gates_NK.sum(1, /*keepdim=*/true);
  }
  routing.counts_E = at::bincount(routing.experts_NK.view({-1}), {}, /*minlength=*/experts);
  const double scale = static_cast<double>(experts) / static_cast<double>(rows * active);
  const at::Tensor load_E = routing.counts_E.to(at::kFloat).mul(scale);
  routing.balance = (load_E * probabilities_NE.mean(0)).sum();
  return routing;
}

ExpertOrder order_by_expert(const Routing& routing) {
  const c10::NoGradGuard no_grad;
  const at::Tensor flat_M = routing.experts_NK.view({-1});
  ExpertOrder order;
  order.pairs_M = std::get<1>(at::sort(flat_M, /*stable=*/true, 0, /*descending=*/false));
  order.rows_M = order.pairs_M.div(routing.experts_NK.size(1), "floor");
  const at::Tensor places_M = at::empty_like(order.pairs_M);
  places_M.index_put_({order.pairs_M}, at::arange(flat_M.numel(), flat_M.options()));
  order.places_NK = places_M.view_as(routing.experts_NK);
  const at::Tensor counts = routing.counts_E.cpu();
  const int64_t* data = counts.const_data_ptr<int64_t>();
  order.counts.assign(data, data + counts.numel());
  return order;
}

at::Tensor to_expert_order(const at::Tensor& x_ND, const ExpertOrder& order) {
  return GatherRows::apply(x_ND, order.rows_M, order.places_NK);
}

at::Tensor combine_choices(const at::Tensor& y_MD, const at::Tensor& gates_NK,
                           const ExpertOrder& order) {
  const int64_t active = gates_NK.size(1);
  const at::Tensor chosen_MD =
      GatherRows::apply(y_MD, order.places_NK.view({-1}), order.pairs_M.unsqueeze(1));
  const auto values = chosen_MD.to(at::kFloat).view({-1, active, y_MD.size(1)}).unbind(1);
  const auto gates = gates_NK.unsqueeze(2).unbind(1);
  at::Tensor sum_ND = values[0] * gates[0];
  for (int64_t k = 1; k < active; ++k) {
    sum_ND = sum_ND + values[static_cast<size_t>(k)] * gates[static_cast<size_t>(k)];
  }
  return sum_ND;
}

}  // namespace setun
