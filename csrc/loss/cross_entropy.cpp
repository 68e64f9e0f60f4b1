// loss = sum over valid rows of log(sum_v exp z_v) - z_target; d loss / d z = softmax(z) -
// onehot(target), 0 in ignored rows. B*T*V is the largest tensor of a small model, so the rows go
// through in slices: the function keeps the logits and makes one tensor of that size, the gradient
// (the stock log_softmax + nll_loss pair keeps or makes four). Deliberately absent: second
// derivatives, label smoothing, class weights.
#include "loss/cross_entropy.h"

#include <ATen/ops/_softmax.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/gather.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/ne.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "base/ignore_target.h"

namespace setun {
namespace {

constexpr int64_t kSliceElements = int64_t{1}
                                   << 20;  // 4 MB of fp32: stays in cache between the passes

// Calls body(first_row, rows) for slices of about kSliceElements elements.
template <class Body>
void for_row_slices(int64_t rows, int64_t width, const Body& body) {
  const int64_t slice = std::max<int64_t>(1, kSliceElements / std::max<int64_t>(1, width));
  for (int64_t first = 0; first < rows; first += slice) {
    body(first, std::min(slice, rows - first));
  }
}

// Ignored targets point at class 0, so that gather and scatter stay in range; `valid` cancels them.
at::Tensor safe_targets(const at::Tensor& targets_N, const at::Tensor& valid_N) {
  return targets_N.mul(valid_N).unsqueeze(-1);
}

struct CrossEntropySum : torch::autograd::Function<CrossEntropySum> {
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& logits_NV,
                            const at::Tensor& targets_N, const at::Tensor& valid_N) {
    ctx->save_for_backward({logits_NV, targets_N, valid_N});
    const at::Tensor index = safe_targets(targets_N, valid_N);
    const at::Tensor losses = at::empty({logits_NV.size(0)}, logits_NV.options().dtype(at::kFloat));
    for_row_slices(logits_NV.size(0), logits_NV.size(1), [&](int64_t first, int64_t rows) {
      const at::Tensor log_p = at::log_softmax(logits_NV.narrow(0, first, rows), -1, at::kFloat);
      losses.narrow(0, first, rows)
          .copy_(at::gather(log_p, -1, index.narrow(0, first, rows)).squeeze(-1));
    });
    return losses.masked_fill_(valid_N.logical_not(), 0).sum(at::kDouble).neg().to(at::kFloat);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list upstream) {
    const auto saved = ctx->get_saved_variables();
    const at::Tensor& logits_NV = saved[0];
    const at::Tensor index = safe_targets(saved[1], saved[2]);
    const at::Tensor weight = saved[2].to(at::kFloat).mul_(upstream[0]).unsqueeze(-1);
    at::Tensor grad = at::empty_like(logits_NV);
    for_row_slices(logits_NV.size(0), logits_NV.size(1), [&](int64_t first, int64_t rows) {
      at::Tensor p = at::_softmax(logits_NV.narrow(0, first, rows).to(at::kFloat), -1, false);
      p.scatter_add_(-1, index.narrow(0, first, rows), at::full({rows, 1}, -1.0, p.options()));
      grad.narrow(0, first, rows).copy_(p.mul_(weight.narrow(0, first, rows)));
    });
    return {grad, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

TokenLoss cross_entropy_sum(const at::Tensor& logits_BTV, const at::Tensor& targets_BT) {
  TORCH_CHECK(logits_BTV.sizes().slice(0, logits_BTV.dim() - 1) == targets_BT.sizes(),
              "cross_entropy_sum: logits ", logits_BTV.sizes(),
              " need targets of the same leading shape, got ", targets_BT.sizes());
  const at::Tensor targets_N = targets_BT.reshape({-1});
  const at::Tensor valid_N = targets_N.ne(kIgnoreTarget);
  const at::Tensor logits_NV = logits_BTV.reshape({targets_N.size(0), logits_BTV.size(-1)});
  return {CrossEntropySum::apply(logits_NV, targets_N, valid_N), targets_N};
}

int64_t TokenLoss::valid() const { return targets_N.ne(kIgnoreTarget).sum().item<int64_t>(); }

}  // namespace setun
