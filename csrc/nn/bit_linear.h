// BitLinear: y = Q_a(norm(x)) Q_w(W)^T (BitNet b1.58, 2402.17764 section 2; FAQ section 3), plus a
// full-precision bias where a model asks for one. With an empty spec it is a plain Linear: full
// precision is the same class. Caches nothing: quantized weights live in the QuantContext.
#pragma once

#include <string>
#include <vector>

#include "nn/norm.h"
#include "nn/torch_module.h"
#include "quant/quant_context.h"

namespace setun {

struct BitLinearOptions {
  int64_t in_features = 0;
  int64_t out_features = 0;
  int64_t layer = 0;      // index in the QuantPlan
  bool own_norm = false;  // norm placement per_linear
  NormKind norm_kind = NormKind::kRms;
  bool norm_gain = true;
  double norm_eps = 1e-5;
  bool bias = false;                    // full precision, added after the product
  at::ScalarType compute = at::kFloat;  // dtype of the product

  // These options for the linear `offset` places further in the plan, with its own widths.
  BitLinearOptions sibling(int64_t offset, int64_t in, int64_t out) const {
    BitLinearOptions other = *this;
    other.layer += offset;
    other.in_features = in;
    other.out_features = out;
    return other;
  }
};

struct BitLinearImpl : torch::nn::Module {
  explicit BitLinearImpl(BitLinearOptions options);
  // input_BTI [..., in] -> [..., out] in the compute dtype. Throws Error naming both widths when
  // they differ.
  at::Tensor forward(const LinearInput& input_BTI, QuantContext& context);

  BitLinearOptions options;
  at::Tensor weight;   // fp32 latent [out, in]
  at::Tensor bias;     // fp32 [out]; undefined without
  Norm norm{nullptr};  // registered as "norm" when own_norm

 private:
  at::Tensor product(const LinearInput& input, QuantContext& context);
};
TORCH_MODULE(BitLinear);

struct NamedLinear {
  std::string name;  // of the module: the weight's name without ".weight"
  BitLinear linear;
};
// Every BitLinear below a module, in order of registration.
std::vector<NamedLinear> named_linears(const torch::nn::Module& model);

}  // namespace setun
