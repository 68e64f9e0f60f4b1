#include "nn/mixture_of_experts.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>

#include "base/error.h"

namespace setun {

MixtureOfExpertsImpl::MixtureOfExpertsImpl(MixtureOptions options_in) : options(options_in) {
  const MoeOptions& moe = options.moe;
  const int64_t width = options.hidden / moe.heads;
  const bool multi_head = moe.heads > 1;
  int64_t offset = 0;
  const auto linear = [&](const char* name, int64_t in, int64_t out) {
    return register_module(name, BitLinear(options.linear.sibling(offset++, in, out)));
  };
  if (multi_head) {
    head = linear("head", options.hidden, options.hidden);
  }
  BitLinearOptions routing = options.linear.sibling(offset++, width, moe.experts);
  routing.compute = at::kFloat;
  router = register_module("router", BitLinear(routing));
  experts = register_module("experts", torch::nn::ModuleList());
  for (int64_t expert = 0; expert < moe.experts; ++expert) {
    experts->push_back(
        FeedForward(FeedForwardOptions{.hidden = width,
                                       .ffn = options.expert_ffn,
                                       .kind = options.kind,
                                       .sub_norm = options.sub_norm,
                                       .linear = options.linear.sibling(offset, 0, 0)}));
    offset += 3;
  }
  if (multi_head) {
    if (options.sub_norm) {
      sub_norm =
          register_module("sub_norm", Norm(options.linear.norm_kind, options.hidden,
                                           options.linear.norm_eps, options.linear.norm_gain));
    }
    merge = linear("merge", options.hidden, options.hidden);
  }
}

MixtureOutput MixtureOfExpertsImpl::forward(const at::Tensor& x_BTD, QuantContext& context) {
  const at::Tensor in_BTD = head ? head(x_BTD, context) : x_BTD;
  const at::Tensor x_ND = in_BTD.reshape({-1, options.hidden / options.moe.heads});
  const Routing routing =
      route(router(x_ND, context), options.moe.active, options.moe.normalize_gates);
  const ExpertOrder order = order_by_expert(routing);
  const at::Tensor y_MD = run_experts(to_expert_order(x_ND, order), order.counts, context);
  at::Tensor y_BTD = combine_choices(y_MD, routing.gates_NK, order).view(x_BTD.sizes());
  if (merge) {
    y_BTD = merge(behind(sub_norm, y_BTD), context);
  }
  return {y_BTD, routing.balance, routing.counts_E};
}

at::Tensor MixtureOfExpertsImpl::run_experts(const at::Tensor& x_MD,
                                             const std::vector<int64_t>& counts,
                                             QuantContext& context) {
  // Views of one tensor: the backward of a split joins the parts' gradients in one copy.
  const std::vector<at::Tensor> parts = x_MD.split_with_sizes(counts, 0);
  std::vector<at::Tensor> results;
  for (size_t expert = 0; expert < parts.size(); ++expert) {
    if (counts[expert] > 0 || c10::GradMode::is_enabled()) {
      auto& module = dynamic_cast<FeedForwardImpl&>(*experts[expert]);
      results.push_back(module.forward(parts[expert], context));
    }
  }
  return at::cat(results, 0);
}

}  // namespace setun
