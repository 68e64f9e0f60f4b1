// CPU kernels of the gated activations: rows over threads.
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <tuple>

#include "ops/cpu/element_rows.h"
#include "ops/cpu/step_kernels.h"
#include "ops/step_checks.h"

namespace setun::ops::cpu {
namespace {

at::Tensor gated_activation(const at::Tensor& gate_in, const at::Tensor& up_in,
                            c10::string_view activation) {
  const GatedKind kind = check_gated("gated_activation", gate_in, up_in, activation);
  at::Tensor y = at::empty(gate_in.sizes(), gate_in.options());
  const InRows gate(gate_in), up(up_in);
  const OutRows out(y);
  const StepKernels& kernels = step_kernels();
  for_rows(gate.count(), gate.width(), [&](int64_t row) {
    kernels.gated(kind, gate[row], up[row], gate.width(), out[row].data);
  });
  return y;
}

std::tuple<at::Tensor, at::Tensor> gated_activation_backward(const at::Tensor& grad_in,
                                                             const at::Tensor& gate_in,
                                                             const at::Tensor& up_in,
                                                             c10::string_view activation) {
  const char* const op = "gated_activation_backward";
  const GatedKind kind = check_gated(op, gate_in, up_in, activation);
  check_alike(op, "grad", grad_in, gate_in);
  at::Tensor grad_gate = at::empty(gate_in.sizes(), gate_in.options());
  at::Tensor grad_up = at::empty(gate_in.sizes(), gate_in.options());
  const InRows grad(grad_in), gate(gate_in), up(up_in);
  const OutRows d_gate(grad_gate), d_up(grad_up);
  const StepKernels& kernels = step_kernels();
  for_rows(gate.count(), gate.width(), [&](int64_t row) {
    kernels.gated_backward(kind, grad[row], gate[row], up[row], gate.width(), d_gate[row].data,
                           d_up[row].data);
  });
  return {grad_gate, grad_up};
}

}  // namespace

TORCH_LIBRARY_IMPL(setun, CPU, m) {
  m.impl("gated_activation", gated_activation);
  m.impl("gated_activation_backward", gated_activation_backward);
}

}  // namespace setun::ops::cpu
