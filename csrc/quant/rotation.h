// The rotation of a linear layer's operands: v R with R = diag(signs) blockdiag(H), H the
// normalized Walsh-Hadamard matrix (BitNet v2, 2504.18415 section 2.1; random signs: QuIP#,
// 2402.04396 section 3). Not a learned rotation.
#pragma once

#include <ATen/core/Tensor.h>

#include "quant/linear_spec.h"

namespace setun {

// v [..., K] -> v R, fp32. Differentiable: the derivative of v R is multiplication by R^T. The same
// tensor when spec.kind is none.
at::Tensor rotate(const at::Tensor& v, const RotationSpec& spec);

// v R^T = (v blockdiag(H)) diag(signs), fp32: takes gradients of rotated tensors back.
at::Tensor rotate_back(const at::Tensor& v, const RotationSpec& spec);

// The signs in front of H, +1 or -1, fp32 [width]: a function of (spec.seed, width) alone, so
// layers that share an input share its rotation.
at::Tensor rotation_signs(const RotationSpec& spec, int64_t width);

}  // namespace setun
