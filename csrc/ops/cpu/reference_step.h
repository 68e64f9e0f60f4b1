// The step's operators once more in plain double precision: the value that a fast kernel's rounding
// is measured against. Torch-free.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "ops/gated_kind.h"

namespace setun::ops::reference {

struct Gated {
  double value, d_gate, d_up;  // act(gate) up and its derivatives
};
Gated gated_activation(GatedKind kind, double gate, double up);

struct NormGradient {
  std::vector<double> dx, d_gain;  // d_gain empty without a gain
};
// Of one row of RMSNorm (reference.h), and of LayerNorm without affine.
NormGradient rms_norm_backward(const std::vector<double>& dy, const std::vector<double>& x,
                               const std::vector<double>& gain, double eps);
NormGradient layer_norm_backward(const std::vector<double>& dy, const std::vector<double>& x,
                                 double eps);

struct RowLoss {
  double loss;
  std::vector<double> gradient;  // softmax(z) - onehot(target)
};
RowLoss cross_entropy(const std::vector<double>& z, std::size_t target);

// One head of causal attention, row after row; query t sees the keys first[t] (empty: 0) ..
// keys - queries + t.
struct AttentionCase {
  int64_t queries, keys, dim;
  std::vector<int64_t> first;
  std::vector<double> q, k, v, d_out;
};
struct AttentionGradient {
  std::vector<double> out, dq, dk, dv;
};
AttentionGradient causal_attention(const AttentionCase& c);

}  // namespace setun::ops::reference
