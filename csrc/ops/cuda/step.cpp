// Glue of the rest of a step: positions, gated activations, loss, draws, the optimizer.
#include <ATen/Functions.h>

#include <cmath>

#include "base/ignore_target.h"
#include "cuda/adamw.h"
#include "cuda/cross_entropy.h"
#include "cuda/elements.h"
#include "cuda/step.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/ops_cuda.h"
#include "ops/step_checks.h"

namespace setun::ops::cuda {
namespace {

bool is_bf16(const at::Tensor& t) { return t.scalar_type() == at::kBFloat16; }

setun::cuda::GatedParams gated_params(const at::Tensor& gate, const at::Tensor& up,
                                      GatedKind kind) {
  setun::cuda::GatedParams p{};
  p.gate = gate.const_data_ptr();
  p.up = up.const_data_ptr();
  p.is_bf16 = is_bf16(gate);
  p.rule =
      kind == GatedKind::kSilu ? setun::cuda::GatedRule::kSilu : setun::cuda::GatedRule::kRelu2;
  p.count = gate.numel();
  return p;
}

at::Tensor losses_of(const at::Tensor& logits, const at::Tensor& targets_in, bool gradient) {
  check_same_device("cross_entropy_rows", logits, {targets_in});
  const at::Tensor targets = targets_in.contiguous();
  at::Tensor losses = at::empty(targets.sizes(), logits.options().dtype(at::kFloat));
  TORCH_CHECK(logits.size(1) <= setun::cuda::kMaxClasses, "cross_entropy_rows: at most ",
              setun::cuda::kMaxClasses, " classes on CUDA, got ", logits.size(1),
              "; use a smaller vocabulary, or run.device=cpu");
  if (losses.numel() > 0) {
    const DeviceScope scope(logits);
    check_launch("cross_entropy_rows",
                 setun::cuda::cross_entropy(
                     {const_cast<void*>(logits.const_data_ptr()), is_bf16(logits), logits.size(0),
                      static_cast<int>(logits.size(1)), targets.const_data_ptr<int64_t>(),
                      kIgnoreTarget, 1.0F, losses.data_ptr<float>(), gradient},
                     scope.stream()));
  }
  return losses;
}

at::Tensor drawn(const char* op, const at::Tensor& like, int64_t key, float kept,
                 uint64_t dropped) {
  at::Tensor out = at::empty(like.sizes(), like.options().dtype(at::kFloat));
  if (out.numel() > 0) {
    const DeviceScope scope(out);
    check_launch(op, setun::cuda::draws({static_cast<uint64_t>(key), out.numel(), kept, dropped,
                                         out.data_ptr<float>()},
                                        scope.stream()));
  }
  return out;
}

at::Tensor update_workspace(const at::Tensor& p) {
  return at::empty({setun::cuda::weight_workspace(p.numel())}, p.options().requires_grad(false));
}

setun::cuda::AdamWParams update_params(const at::Tensor& p, const at::Tensor& grad,
                                       const at::Tensor& m, const at::Tensor& v,
                                       const at::Tensor& factors, const at::Tensor& partial) {
  const auto values = [](const at::Tensor& t) { return static_cast<float*>(t.data_ptr()); };
  const int64_t rows = p.dim() == 2 ? p.size(0) : 1;
  return {values(p),        grad.const_data_ptr<float>(),    values(m),      values(v), rows,
          p.numel() / rows, factors.const_data_ptr<float>(), values(partial)};
}

}  // namespace

at::Tensor rope(const at::Tensor& x_in, const at::Tensor& cos_in, const at::Tensor& sin_in,
                bool inverse) {
  check_same_device("rope", x_in, {cos_in, sin_in});
  check_rope(x_in, cos_in, sin_in);
  const at::Tensor x = x_in.stride(3) == 1 ? x_in : x_in.contiguous();
  const at::Tensor cos = cos_in.contiguous(), sin = sin_in.contiguous();
  at::Tensor y = at::empty_like(x);
  if (y.stride(3) != 1) {
    y = at::empty(x.sizes(), x.options());
  }
  if (y.numel() > 0) {
    const DeviceScope scope(x);
    check_launch("rope", setun::cuda::rope({x.const_data_ptr(), y.data_ptr(), is_bf16(x), x.size(0),
                                            x.size(1), x.size(2), static_cast<int>(x.size(3) / 2),
                                            x.stride(0), x.stride(1), x.stride(2), y.stride(0),
                                            y.stride(1), y.stride(2), cos.const_data_ptr<float>(),
                                            sin.const_data_ptr<float>(), inverse ? -1.0F : 1.0F},
                                           scope.stream()));
  }
  return y;
}

at::Tensor gated_activation(const at::Tensor& gate_in, const at::Tensor& up_in,
                            c10::string_view activation) {
  check_same_device("gated_activation", gate_in, {up_in});
  const GatedKind kind = check_gated("gated_activation", gate_in, up_in, activation);
  const at::Tensor gate = gate_in.contiguous(), up = up_in.contiguous();
  at::Tensor y = at::empty(gate.sizes(), gate.options());
  if (y.numel() > 0) {
    setun::cuda::GatedParams p = gated_params(gate, up, kind);
    p.y = y.data_ptr();
    const DeviceScope scope(gate);
    check_launch("gated_activation", setun::cuda::gated_activation(p, scope.stream()));
  }
  return y;
}

TensorPair gated_activation_backward(const at::Tensor& grad_in, const at::Tensor& gate_in,
                                     const at::Tensor& up_in, c10::string_view activation) {
  const char* const op = "gated_activation_backward";
  check_same_device(op, gate_in, {up_in, grad_in});
  const GatedKind kind = check_gated(op, gate_in, up_in, activation);
  check_alike(op, "grad", grad_in, gate_in);
  const at::Tensor grad = grad_in.contiguous(), gate = gate_in.contiguous(),
                   up = up_in.contiguous();
  at::Tensor d_gate = at::empty(gate.sizes(), gate.options());
  at::Tensor d_up = at::empty(gate.sizes(), gate.options());
  if (gate.numel() > 0) {
    setun::cuda::GatedParams p = gated_params(gate, up, kind);
    p.dy = grad.const_data_ptr();
    p.d_gate = d_gate.data_ptr();
    p.d_up = d_up.data_ptr();
    const DeviceScope scope(gate);
    check_launch(op, setun::cuda::gated_backward(p, scope.stream()));
  }
  return {d_gate, d_up};
}

at::Tensor cross_entropy_rows(const at::Tensor& logits, const at::Tensor& targets) {
  check_cross_entropy_rows(logits, targets);
  return losses_of(logits.contiguous(), targets, /*gradient=*/false);
}

at::Tensor cross_entropy_rows_(at::Tensor& logits, const at::Tensor& targets) {
  check_cross_entropy_rows(logits, targets);
  TORCH_CHECK(logits.is_contiguous(),
              "cross_entropy_rows_: expected contiguous logits, got strides ", logits.strides());
  return losses_of(logits, targets, /*gradient=*/true);
}

at::Tensor counter_uniform_like(const at::Tensor& like, int64_t key) {
  return drawn("counter_uniform_like", like, key, 0, 0);
}

at::Tensor dropout_mask(const at::Tensor& like, double probability, int64_t key) {
  check_draws("dropout_mask", probability);
  return drawn("dropout_mask", like, key, static_cast<float>(1 / (1 - probability)),
               static_cast<uint64_t>(std::ceil(std::ldexp(probability, 53))));
}

at::Tensor sum_of_squares(const at::Tensor& x_in) {
  check_sum_of_squares(x_in);
  const at::Tensor x = x_in.contiguous();
  const at::TensorOptions doubles = x.options().dtype(at::kDouble).requires_grad(false);
  if (x.numel() == 0) {
    return at::zeros({}, doubles);
  }
  const at::Tensor partial = at::empty({setun::cuda::squares_workspace(x.numel())}, doubles);
  at::Tensor total = at::empty({}, doubles);
  const DeviceScope scope(x);
  check_launch("sum_of_squares",
               setun::cuda::sum_of_squares({x.const_data_ptr<float>(), x.numel(),
                                            partial.data_ptr<double>(), total.data_ptr<double>()},
                                           scope.stream()));
  return total;
}

void adamw_(const at::Tensor& p, const at::Tensor& grad, const at::Tensor& m, const at::Tensor& v,
            const at::Tensor& factors) {
  check_adamw(p, grad, m, v, factors);
  if (p.numel() > 0) {
    const at::Tensor partial = update_workspace(p);
    const DeviceScope scope(p);
    check_launch("adamw_", setun::cuda::adamw(update_params(p, grad, m, v, factors, partial),
                                              scope.stream()));
  }
}

void adamw_ternary_(const at::Tensor& p, const at::Tensor& grad, const at::Tensor& m,
                    const at::Tensor& v, const at::Tensor& factors, double eps,
                    const at::Tensor& scale, const at::Tensor& packed) {
  check_adamw(p, grad, m, v, factors);
  check_adamw_ternary(p, eps, scale, packed, packed_bytes(p.size(0), p.size(1)));
  const at::Tensor partial = update_workspace(p);
  const DeviceScope scope(p);
  check_launch(
      "adamw_ternary_",
      setun::cuda::adamw_ternary({update_params(p, grad, m, v, factors, partial), 0,
                                  static_cast<float>(eps), static_cast<float*>(scale.data_ptr()),
                                  nullptr, static_cast<uint32_t*>(packed.data_ptr())},
                                 scope.stream()));
}

}  // namespace setun::ops::cuda
