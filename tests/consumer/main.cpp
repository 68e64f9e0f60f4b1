// A BitLinear forward through an installed Setun: weights and inputs whose product is known by
// hand.
#include <ATen/ops/tensor.h>

#include <cmath>
#include <iostream>

#include "nn/bit_linear.h"

int main() {
  const setun::LinearSpec spec{.weight = {.scheme = setun::WeightScheme::kAbsmean},
                               .activation = {.scheme = setun::ActivationScheme::kAbsmax}};
  setun::QuantPlan plan;
  plan.layers = {{"layer", setun::Role::kDown, 0, 1, 2}};
  plan.phases = {{0, 0, {spec}}};
  setun::QuantContext context(plan);
  setun::BitLinear layer(setun::BitLinearOptions{.in_features = 2, .out_features = 1});
  const torch::NoGradGuard no_grad;
  layer->weight.copy_(at::tensor({3.0F, -1.0F}).view({1, 2}));  // absmean 2 -> codes 1, 0 (a tie)
  const at::Tensor y = layer->forward(at::tensor({0.5F, 1.0F}).view({1, 2}), context);
  const double wanted = 2.0 * 64 / 127;  // code rne(63.5) = 64 of 127
  if (std::abs(y.item<double>() - wanted) > 1e-6) {
    std::cerr << "expected " << wanted << ", got " << y.item<double>() << "\n";
    return 1;
  }
  std::cout << "installed Setun computes " << y.item<double>() << "\n";
  return 0;
}
