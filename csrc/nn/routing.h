// Token-choice routing of a mixture of experts: gates (softmax in fp32), the chosen experts, the
// load-balance loss, and the grouping of rows by expert. Each row chooses alone and no expert has a
// capacity, so nothing is dropped. Every sum has a fixed order: no result depends on the threads.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace setun {

struct Routing {
  at::Tensor
      experts_NK;       // int64: the experts of the K largest logits, falling; ties: the lower one
  at::Tensor gates_NK;  // fp32, differentiable: softmax over all experts, at the chosen ones
  at::Tensor counts_E;  // int64: rows that chose each expert; the sum is N K
  // fp32 scalar, differentiable through P: E sum_e f_e P_e, f_e = counts_e / (N K), P_e = mean
  // softmax (Switch, 2101.03961 eq. 4-6; GShard, 2006.16668 section 2.2). 1 for an even load.
  at::Tensor balance;
};
// logits_NE: fp32 router outputs, N >= 1. normalize_gates divides the gates of a row by their sum.
Routing route(const at::Tensor& logits_NE, int64_t active, bool normalize_gates);

// The N K (row, choice) pairs in the order of their experts, rows rising inside an expert.
struct ExpertOrder {
  at::Tensor pairs_M;           // int64 [N K]: the pair n K + k at each place
  at::Tensor rows_M;            // int64 [N K]: its row n
  at::Tensor places_NK;         // int64: the place of each pair
  std::vector<int64_t> counts;  // pairs of each expert
};
ExpertOrder order_by_expert(const Routing& routing);

// x_ND -> its rows in the experts' order, [N K, D]. Backward adds the K gradients of a row in the
// order of its choices.
at::Tensor to_expert_order(const at::Tensor& x_ND, const ExpertOrder& order);

// sum_k gates[n, k] y[places[n, k]], in fp32: y_MD [N K, D] of any float dtype -> [N, D].
at::Tensor combine_choices(const at::Tensor& y_MD, const at::Tensor& gates_NK,
                           const ExpertOrder& order);

}  // namespace setun
