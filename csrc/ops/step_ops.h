// Typed C++ calls of the operators of a training step that neither quantize nor multiply matrices:
// one pass over memory each, fp32 inside, fp32 or bf16 outside; and attention. Schemas:
// ops/schemas.cpp. Kernels: ops/cpu/step_kernels.h, attention_kernels.h. But for attention every
// result is equal bit for bit on every CPU path and thread count.
#pragma once

#include <ATen/core/Tensor.h>

#include "ops/gated_kind.h"

namespace setun::ops {

// act(gate) * up with act = silu (SwiGLU, 2002.05202) or relu^2 (ReLU2-GLU, 2504.12285 section 2).
// gate, up: one shape [..., F] and type, fp32 or bf16; any strides, without a copy when the last
// dimension is dense -> contiguous, of that shape and type. Differentiable in both; backward keeps
// gate and up and makes both gradients in one pass. No second derivative.
at::Tensor gated_activation(const at::Tensor& gate, const at::Tensor& up, GatedKind kind);

// Rotary position embedding (2104.09864 eq. 34) with half-split pairing, as HF and GGUF "NEOX":
// (x_i, x_{i + D/2}) -> (x_i cos - x_{i + D/2} sin, x_{i + D/2} cos + x_i sin); `inverse` takes the
// negative angle. x [B, H, T, D] fp32 or bf16, D even; without a copy when D is dense -> x's type
// and, where x's memory has no gaps, x's strides. cos, sin: fp32 [T, D / 2]. Differentiable in x,
// any order.
at::Tensor rope(const at::Tensor& x_BHTD, const at::Tensor& cos_TD, const at::Tensor& sin_TD,
                bool inverse);

// Causal attention (1706.03762 eq. 1), softmax(q k^T / sqrt(D)) v: query t of T sees the keys
// first[t] .. S - T + t of the S there are. q [B, H, T, D], k and v [B, G, S, D] of one type, fp32
// or bf16, S >= T, G dividing H: H / G neighbouring query heads share a key head (GQA, 2305.13245).
// Without a copy when D is dense. first: int64 [B or 1, T], or undefined: 0 -> [B, H, T, D] of q's
// type in the memory order of [B, T, H, D]. Differentiable in q, k and v, by recomputing the
// probabilities: backward keeps the arguments, the result and a number for each row. No second
// derivative. Sums have a fixed order, so the bits depend on neither the thread count nor on how
// many queries one call has; the portable path differs from the others by rounding.
at::Tensor causal_attention(const at::Tensor& q_BHTD, const at::Tensor& k_BGSD,
                            const at::Tensor& v_BGSD, const at::Tensor& first_BT);
// The same by LibTorch's scaled_dot_product_attention on any device, with a mask [T, S] where the
// plain causal one does not do: what devices without a kernel get, and a second opinion for tests.
at::Tensor causal_attention_by_library(const at::Tensor& q_BHTD, const at::Tensor& k_BGSD,
                                       const at::Tensor& v_BGSD, const at::Tensor& first_BT);

// Losses of softmax cross-entropy, -log softmax(z)[target], for each row of logits [N, V], fp32 or
// bf16, and int64 targets [N] in [0, V), or kIgnoreTarget, whose loss is 0 -> fp32 [N]. No
// derivative: cross_entropy_rows_ is the forward pass that makes it.
at::Tensor cross_entropy_rows(const at::Tensor& logits_NV, const at::Tensor& targets_N);
// The same, and d loss / d logits of each row takes the logits' place: softmax(z) - onehot(target),
// 0 where the target is ignored. logits must be contiguous.
at::Tensor cross_entropy_rows_(at::Tensor& logits_NV, const at::Tensor& targets_N);

// codes / scale, rounded once to dtype, fp32 or bf16: codes int8 [..., K], scale fp32 [..., 1], the
// multiplier of a row (quantize_absmax_rows). In fp32 the bits of dequantize_absmax. No derivative.
at::Tensor dequantize_rows(const at::Tensor& codes, const at::Tensor& scale, at::ScalarType dtype);

// counter_uniform's draws 0, 1, ... of the key, fp32 in the shape of `like` and on its device.
at::Tensor counter_uniform_like(const at::Tensor& like, int64_t key);
// fp32 in the shape of `like` and on its device: 0 where the 53-bit draw i of the key
// (base/counter_rng.h) is below `probability`, 0 <= probability < 1, else 1 / (1 - probability).
at::Tensor dropout_mask(const at::Tensor& like, double probability, int64_t key);

// sum(x^2) of an fp32 tensor, a double scalar on its device, in fixed chunks: equal for every
// thread count and device, and, because fp32 squares cannot overflow a double, non-finite exactly
// when an element is.
at::Tensor sum_of_squares(const at::Tensor& x);

// What an AdamW update multiplies with, computed in double and rounded to fp32 once: the gradient's
// clip factor, 1 - lr wd, lr / (1 - b1^t), 1 / sqrt(1 - b2^t), eps, 1 - b1, b2, 1 - b2.
struct AdamWFactors {
  static constexpr int64_t kCount = 8;
  double clip, decay, rate, correction, eps, first, beta2, second;
  void round_to(float* eight) const;
};
// Updates contiguous fp32 p, m and v of one shape for the gradient in one pass (formula in
// ops/cpu/optimizer_impl.h). factors: AdamWFactors, fp32 [8] on p's device, so that a recorded
// update takes those of each step. p keeps its version: the caller counts the change.
void adamw_(const at::Tensor& p, const at::Tensor& grad, const at::Tensor& m, const at::Tensor& v,
            const at::Tensor& factors);
// The same for a weight [O, I], and what the next step multiplies with: scale, fp32 [1, 1], and
// packed receive those of quantize_pack_absmean(p, 0, eps) for the new p, bit for bit. The mean is
// taken while the update writes; packed is uint8 of the size that quantize_pack_absmean gives.
void adamw_ternary_(const at::Tensor& p_OI, const at::Tensor& grad, const at::Tensor& m,
                    const at::Tensor& v, const at::Tensor& factors, double eps,
                    const at::Tensor& scale, const at::Tensor& packed);

}  // namespace setun::ops
