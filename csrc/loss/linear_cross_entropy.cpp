// loss = sum over rows of -log softmax(h W^T)[target]. With Z = h W^T and P = softmax(Z) - onehot
// (rows of ignored targets 0): dh = P W, dW = P^T h, both times the upstream gradient of the sum.
#include "loss/linear_cross_entropy.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "base/error.h"
#include "base/head_chunk.h"
#include "base/ignore_target.h"
#include "ops/step_ops.h"

namespace setun {
namespace {

struct HeadLoss {
  at::Tensor losses_N, grad_hidden_ND, grad_weight_VD;  // gradients undefined where not wanted
};

// dW += P^T h. A product in bf16 is rounded to bf16 once before it is added; a slice of the
// vocabulary at a time, since the library holds its sums in fp32 as well.
void add_weight_gradient(at::Tensor& grad_VD, const at::Tensor& p_NV, const at::Tensor& h_ND) {
  if (p_NV.scalar_type() == at::kFloat) {
    grad_VD.addmm_(p_NV.t(), h_ND);
    return;
  }
  constexpr int64_t kSlice = 1024;
  const int64_t vocab = grad_VD.size(0);
  for (int64_t first = 0; first < vocab; first += kSlice) {
    const int64_t count = std::min(kSlice, vocab - first);
    grad_VD.narrow(0, first, count).add_(at::mm(p_NV.narrow(1, first, count).t(), h_ND));
  }
}

HeadLoss head_loss(const at::Tensor& hidden_ND, const at::Tensor& weight_VD,
                   const at::Tensor& targets_N, at::ScalarType compute, bool want_hidden,
                   bool want_weight) {
  const int64_t rows = hidden_ND.size(0), vocab = weight_VD.size(0);
  const at::Tensor weight = weight_VD.to(compute);
  const int64_t chunk =
      std::min(rows, head_chunk_rows(vocab, static_cast<int64_t>(c10::elementSize(compute))));
  const at::Tensor buffer = at::empty({chunk, vocab}, weight.options());
  HeadLoss out{.losses_N = at::empty({rows}, hidden_ND.options().dtype(at::kFloat)),
               .grad_hidden_ND = want_hidden ? at::empty_like(hidden_ND) : at::Tensor(),
               .grad_weight_VD =
                   want_weight ? at::zeros(weight_VD.sizes(), weight_VD.options()) : at::Tensor()};
  for (int64_t first = 0; first < rows; first += chunk) {
    const int64_t count = std::min(chunk, rows - first);
    const at::Tensor h = hidden_ND.narrow(0, first, count).to(compute);
    const at::Tensor targets = targets_N.narrow(0, first, count);
    at::Tensor z = buffer.narrow(0, 0, count);
    at::mm_out(z, h, weight.t());
    out.losses_N.narrow(0, first, count)
        .copy_(want_hidden || want_weight ? ops::cross_entropy_rows_(z, targets)
                                          : ops::cross_entropy_rows(z, targets));
    if (want_hidden) {
      out.grad_hidden_ND.narrow(0, first, count).copy_(at::mm(z, weight));
    }
    if (want_weight) {
      add_weight_gradient(out.grad_weight_VD, z, h);
    }
  }
  return out;
}

struct LinearCrossEntropySum : torch::autograd::Function<LinearCrossEntropySum> {
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& hidden_ND,
                            const at::Tensor& weight_VD, const at::Tensor& targets_N,
                            at::ScalarType compute, bool gradients) {
    HeadLoss made =
        head_loss(hidden_ND, weight_VD, targets_N, compute, gradients && hidden_ND.requires_grad(),
                  gradients && weight_VD.requires_grad());
    // Neither inputs nor outputs, and scaled in place by backward: not for save_for_backward.
    ctx->saved_data["hidden"] = std::move(made.grad_hidden_ND);
    ctx->saved_data["weight"] = std::move(made.grad_weight_VD);
    return made.losses_N.sum(at::kDouble).to(at::kFloat);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list upstream) {
    SETUN_CHECK(
        ctx->saved_data.count("hidden") > 0,
        "linear_cross_entropy_sum: backward ran twice through one loss; call the loss again");
    const auto scaled = [&](const char* name) {
      const at::Tensor gradient = ctx->saved_data[name].toTensor();
      return gradient.defined() ? gradient.mul_(upstream[0]) : gradient;
    };
    const torch::autograd::variable_list gradients = {
        scaled("hidden"), scaled("weight"), {}, {}, {}};
    ctx->saved_data.clear();
    return gradients;
  }
};

}  // namespace

TokenLoss linear_cross_entropy_sum(const at::Tensor& hidden_BTD, const at::Tensor& weight_VD,
                                   const at::Tensor& targets_BT, at::ScalarType compute) {
  TORCH_CHECK(hidden_BTD.sizes().slice(0, hidden_BTD.dim() - 1) == targets_BT.sizes(),
              "linear_cross_entropy_sum: hidden states ", hidden_BTD.sizes(),
              " need targets of the same leading shape, got ", targets_BT.sizes());
  TORCH_CHECK(weight_VD.dim() == 2 && weight_VD.size(1) == hidden_BTD.size(-1) &&
                  weight_VD.scalar_type() == at::kFloat,
              "linear_cross_entropy_sum: expected a fp32 head [V, ", hidden_BTD.size(-1), "], got ",
              weight_VD.scalar_type(), " ", weight_VD.sizes());
  const at::Tensor targets_N = targets_BT.reshape({-1});
  const at::Tensor hidden_ND = hidden_BTD.reshape({targets_N.size(0), hidden_BTD.size(-1)});
  const int64_t valid = targets_N.ne(kIgnoreTarget).sum().item<int64_t>();
  return {LinearCrossEntropySum::apply(hidden_ND, weight_VD, targets_N, compute,
                                       c10::GradMode::is_enabled()),
          valid};
}

}  // namespace setun
