// The baseline of the step benchmark: the recipe's decoder written with LibTorch's own parts only
// (torch::nn::Linear, at::rms_norm, at::scaled_dot_product_attention), full precision, the same
// shapes and norm placement as DecoderLM. In bf16 products and attention are rounded as autocast
// does it; parameters, norms, residual stream and loss stay fp32. Not a product: it has no cache,
// no document mask, no quantizer.
#pragma once

#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>

#include "model/model_options.h"
#include "nn/rope.h"
#include "nn/torch_module.h"
#include "optim/optim_options.h"

namespace setun::bench {

// Throws Error when the baseline has no counterpart of a model's parts.
void check_plain(const ModelOptions& options);

struct PlainBlockImpl : torch::nn::Module {
  PlainBlockImpl(const ModelOptions& options, at::ScalarType compute);
  at::Tensor forward(const at::Tensor& x_BTD, const Rope& rope);

 private:
  at::Tensor attention(const at::Tensor& x_BTD, const Rope& rope);
  at::Tensor gain(const std::string& name, int64_t width);
  at::Tensor project(const torch::nn::Linear& linear, const at::Tensor& x) const;
  at::Tensor norm(const at::Tensor& x, const at::Tensor& gain) const;

  ModelOptions options_;
  at::ScalarType compute_;
  torch::nn::Linear q_{nullptr}, k_{nullptr}, v_{nullptr}, o_{nullptr};
  torch::nn::Linear gate_{nullptr}, up_{nullptr}, down_{nullptr};
  at::Tensor attn_norm_, attn_sub_norm_, ffn_norm_,
      ffn_sub_norm_;  // sub norms undefined unless subln
};
TORCH_MODULE(PlainBlock);

struct PlainDecoderImpl : torch::nn::Module {
  PlainDecoderImpl(const ModelOptions& options, at::ScalarType compute);
  at::Tensor forward(const at::Tensor& tokens_BT);  // logits_BTV, of the compute type

 private:
  ModelOptions options_;
  at::ScalarType compute_;
  torch::nn::Embedding embed_{nullptr};
  torch::nn::ModuleList blocks_{nullptr};
  at::Tensor norm_;
};
TORCH_MODULE(PlainDecoder);

// AdamW and gradient clipping as LibTorch has them: a norm of norms, a scaling pass over the
// gradients where they are long, at::_fused_adamw_.
class PlainOptimizer {
 public:
  PlainOptimizer(std::vector<at::Tensor> parameters, const OptimOptions& options);
  void step(double lr, double weight_decay);  // and releases the gradients

 private:
  std::vector<at::Tensor> parameters_, exp_avg_, exp_avg_sq_, steps_;
  OptimOptions options_;
};

}  // namespace setun::bench
