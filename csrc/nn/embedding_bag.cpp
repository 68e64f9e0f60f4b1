#include "nn/embedding_bag.h"

#include <ATen/ops/embedding_bag.h>
#include <ATen/ops/zeros.h>

namespace setun {

EmbeddingBagImpl::EmbeddingBagImpl(int64_t vocab_size, int64_t width, bool with_bias) {
  weight = register_parameter("weight", at::zeros({vocab_size, width}));
  if (with_bias) {
    bias = register_parameter("bias", at::zeros({width}));
  }
}

at::Tensor EmbeddingBagImpl::forward(const at::Tensor& words, const at::Tensor& weights,
                                     const at::Tensor& starts_B) {
  constexpr int64_t kSum = 0;  // embedding_bag's mode
  const at::Tensor sum = std::get<0>(at::embedding_bag(weight, words, starts_B,
                                                       /*scale_grad_by_freq=*/false, kSum,
                                                       /*sparse=*/false, weights));
  return bias.defined() ? sum + bias : sum;
}

}  // namespace setun
