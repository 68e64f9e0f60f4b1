#include "bench/plain_decoder.h"

#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/rms_norm.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/nn/init.h>

#include "base/error.h"

namespace setun::bench {
namespace {

torch::nn::Linear linear(int64_t in, int64_t out) {
  return torch::nn::Linear(torch::nn::LinearOptions(in, out).bias(false));
}

}  // namespace

void check_plain(const ModelOptions& options) {
  SETUN_CHECK(options.norm.placement == NormPlacement::kSubln ||
                  options.norm.placement == NormPlacement::kPreNorm,
              "bench step: the plain LibTorch baseline knows model.norm.placement prenorm and "
              "subln, got ",
              enum_name(options.norm.placement));
  SETUN_CHECK(options.moe.experts == 0,
              "bench step: the plain LibTorch baseline knows dense feed-forward parts only, got "
              "model.moe.experts ",
              options.moe.experts);
}

PlainBlockImpl::PlainBlockImpl(const ModelOptions& options, at::ScalarType compute)
    : options_(options), compute_(compute) {
  const int64_t queries = options.heads * options.resolved_head_dim();
  const int64_t keys = options.resolved_kv_heads() * options.resolved_head_dim();
  q_ = register_module("q", linear(options.hidden, queries));
  k_ = register_module("k", linear(options.hidden, keys));
  v_ = register_module("v", linear(options.hidden, keys));
  o_ = register_module("o", linear(queries, options.hidden));
  gate_ = register_module("gate", linear(options.hidden, options.ffn));
  up_ = register_module("up", linear(options.hidden, options.ffn));
  down_ = register_module("down", linear(options.ffn, options.hidden));
  attn_norm_ = gain("attn_norm", options.hidden);
  ffn_norm_ = gain("ffn_norm", options.hidden);
  if (options.norm.placement == NormPlacement::kSubln) {
    attn_sub_norm_ = gain("attn_sub_norm", queries);
    ffn_sub_norm_ = gain("ffn_sub_norm", options.ffn);
  }
}

at::Tensor PlainBlockImpl::gain(const std::string& name, int64_t width) {
  return register_parameter(name, at::ones({width}));
}

at::Tensor PlainBlockImpl::norm(const at::Tensor& x, const at::Tensor& gain) const {
  return gain.defined() ? at::rms_norm(x.to(at::kFloat), {x.size(-1)}, gain, options_.norm.eps) : x;
}

at::Tensor PlainBlockImpl::project(const torch::nn::Linear& linear, const at::Tensor& x) const {
  return at::linear(x.to(compute_), linear->weight.to(compute_));
}

at::Tensor PlainBlockImpl::attention(const at::Tensor& x_BTD, const Rope& rope) {
  const int64_t batch = x_BTD.size(0), time = x_BTD.size(1), width = options_.resolved_head_dim();
  const auto heads = [&](const at::Tensor& y) {
    return y.view({batch, time, -1, width}).transpose(1, 2);
  };
  const at::Tensor queries = apply_rope(heads(project(q_, x_BTD)), rope);
  const at::Tensor keys = apply_rope(heads(project(k_, x_BTD)), rope);
  const bool grouped = options_.resolved_kv_heads() != options_.heads;
  const at::Tensor y =
      at::scaled_dot_product_attention(queries, keys, heads(project(v_, x_BTD)), {}, 0.0,
                                       /*is_causal=*/true, std::nullopt, grouped);
  return y.transpose(1, 2).reshape({batch, time, -1});
}

at::Tensor PlainBlockImpl::forward(const at::Tensor& x_BTD, const Rope& rope) {
  const at::Tensor attended = attention(norm(x_BTD, attn_norm_), rope);
  const at::Tensor x = x_BTD + project(o_, norm(attended, attn_sub_norm_));
  const at::Tensor z = norm(x, ffn_norm_);
  const at::Tensor gate = project(gate_, z);
  const at::Tensor active =
      options_.ffn_kind == FfnKind::kSwiGlu ? at::silu(gate) : at::relu(gate).square();
  return x + project(down_, norm(active * project(up_, z), ffn_sub_norm_));
}

PlainDecoderImpl::PlainDecoderImpl(const ModelOptions& options, at::ScalarType compute)
    : options_(options), compute_(compute) {
  check_plain(options);
  embed_ = register_module("embed", torch::nn::Embedding(options.vocab_size, options.hidden));
  blocks_ = register_module("blocks", torch::nn::ModuleList());
  for (int64_t i = 0; i < options.layers; ++i) {
    blocks_->push_back(PlainBlock(options, compute));
  }
  norm_ = register_parameter("norm", at::ones({options.hidden}));
  const torch::NoGradGuard no_grad;
  for (const at::Tensor& parameter : parameters()) {
    if (parameter.dim() == 2) {
      torch::nn::init::normal_(parameter, 0.0, options.init.std);
    }
  }
}

at::Tensor PlainDecoderImpl::forward(const at::Tensor& tokens_BT) {
  const Rope rope =
      make_rope(0, tokens_BT.size(1), options_.resolved_head_dim(), options_.rope_base);
  at::Tensor x = embed_->forward(tokens_BT);
  for (const auto& block : *blocks_) {
    x = block->as<PlainBlock>()->forward(x, rope);
  }
  const at::Tensor normed = at::rms_norm(x, {x.size(-1)}, norm_, options_.norm.eps);
  return at::linear(normed.to(compute_), embed_->weight.to(compute_));
}

PlainOptimizer::PlainOptimizer(std::vector<at::Tensor> parameters, const OptimOptions& options)
    : parameters_(std::move(parameters)), options_(options) {
  for (const at::Tensor& parameter : parameters_) {
    exp_avg_.push_back(at::zeros_like(parameter.detach()));
    exp_avg_sq_.push_back(at::zeros_like(parameter.detach()));
    steps_.push_back(at::zeros({}));
  }
}

void PlainOptimizer::step(double lr, double weight_decay) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> parameters, gradients, norms;
  for (const at::Tensor& parameter : parameters_) {
    parameters.push_back(parameter.detach());
    gradients.push_back(parameter.grad().detach().contiguous());
    norms.push_back(at::linalg_vector_norm(gradients.back()));
  }
  const double scale =
      options_.clip_norm / (at::linalg_vector_norm(at::stack(norms)).item<double>() + 1e-6);
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    steps_[i].add_(1);
    if (scale < 1) {
      gradients[i].mul_(scale);
    }
  }
  at::_fused_adamw_(parameters, gradients, exp_avg_, exp_avg_sq_, /*max_exp_avg_sqs=*/{}, steps_,
                    lr, options_.beta1, options_.beta2, weight_decay, options_.eps,
                    /*amsgrad=*/false,
                    /*maximize=*/false);
  for (const at::Tensor& parameter : parameters_) {
    parameter.mutable_grad().reset();
  }
}

}  // namespace setun::bench
