// Glue of the Hadamard transform, the masks and the norms.
#include <ATen/Functions.h>

#include <algorithm>

#include "cuda/elements.h"
#include "cuda/norm_backward.h"
#include "ops/checks.h"
#include "ops/cuda/ops_cuda.h"
#include "ops/cuda/token_call.h"

namespace setun::ops::cuda {
namespace {

// Blocks are independent, so a kernel's row is a multiple of the block that divides the width: as
// much of it as a CUDA block has use for.
int64_t hadamard_columns(int64_t width, int64_t block) {
  constexpr int64_t kWanted = 4096;
  int64_t columns = block;
  while (columns * 2 <= kWanted && width % (columns * 2) == 0) {
    columns *= 2;
  }
  return columns;
}

at::Tensor top_of_every(const char* op, const at::Tensor& x, int64_t every, int64_t keep) {
  TokenCall call(op, x);
  at::Tensor mask = call.empty(at::kBool);
  call.params.keep = static_cast<int>(keep);
  call.params.every = static_cast<int>(every);
  call.params.mask = reinterpret_cast<uint8_t*>(mask.data_ptr<bool>());
  call.run();
  return mask;
}

TensorPair norm_forward(const char* op, const at::Tensor& x, const std::optional<at::Tensor>& gain,
                        double eps, bool centre) {
  check_same_device(op, x, {gain});
  TokenCall call(op, x);
  const std::optional<at::Tensor> g =
      gain && gain->defined() ? std::optional(gain->contiguous()) : std::nullopt;
  at::Tensor y = call.empty(at::kFloat);
  at::Tensor factor = at::empty({call.params.rows}, y.options());
  call.params.norm = true;
  call.params.centre = centre;
  call.params.gain = data_or_null(g);
  call.params.norm_eps = static_cast<float>(eps);
  call.params.dense = y.data_ptr<float>();
  call.params.factor = factor.data_ptr<float>();
  call.run();
  return {y, factor};
}

void run_backward(const char* op, setun::cuda::NormBackwardParams p, const at::Tensor& grad,
                  const at::Tensor& x, const at::Tensor& factor) {
  check_same_device(op, x, {grad, factor});
  TORCH_CHECK(grad.sizes() == x.sizes() && factor.numel() * x.size(-1) == x.numel(), op, ": grad ",
              grad.sizes(), ", input ", x.sizes(), ", factor ", factor.sizes());
  p.dy = grad.const_data_ptr<float>();
  p.x = x.const_data_ptr<float>();
  p.factor = factor.const_data_ptr<float>();
  p.columns = static_cast<int>(x.size(-1));
  p.rows = x.numel() / x.size(-1);
  if (p.rows > 0) {
    const DeviceScope scope(x);
    check_launch(op, setun::cuda::norm_backward(p, scope.stream()));
  }
}

}  // namespace

at::Tensor hadamard(const at::Tensor& x, int64_t block) {
  check_hadamard(x, block);
  TokenCall call("hadamard", x, hadamard_columns(x.size(-1), block));
  at::Tensor y = call.empty(at::kFloat);
  call.params.hadamard_block = static_cast<int>(block);
  call.params.dense = y.data_ptr<float>();
  call.run();
  return y;
}

at::Tensor topk_mask(const at::Tensor& x, int64_t k) {
  check_topk_mask(x, k);
  return top_of_every("topk_mask", x, x.size(-1), k);
}

at::Tensor nm_mask(const at::Tensor& x, int64_t n, int64_t m) {
  check_nm_mask(x, n, m);
  return top_of_every("nm_mask", x, m, n);
}

at::Tensor pack_mask(const at::Tensor& keep_in) {
  check_pack_mask(keep_in);
  const at::Tensor keep = keep_in.contiguous();
  at::Tensor bits = at::empty(mask_words(keep.sizes()), keep.options().dtype(at::kInt));
  if (bits.numel() > 0) {
    const DeviceScope scope(keep);
    check_launch("pack_mask",
                 setun::cuda::pack_mask({static_cast<const uint8_t*>(keep.const_data_ptr()),
                                         keep.numel() / keep.size(-1), keep.size(-1),
                                         static_cast<uint32_t*>(bits.data_ptr())},
                                        scope.stream()));
  }
  return bits;
}

at::Tensor apply_mask(const at::Tensor& x_in, const at::Tensor& bits_in) {
  check_same_device("apply_mask", x_in, {bits_in});
  check_apply_mask(x_in, bits_in);
  const at::Tensor x = x_in.contiguous(), bits = bits_in.contiguous();
  at::Tensor y = at::empty(x.sizes(), x.options());
  if (y.numel() > 0) {
    const DeviceScope scope(x);
    check_launch("apply_mask",
                 setun::cuda::apply_mask({x.const_data_ptr(), x.scalar_type() == at::kBFloat16,
                                          static_cast<const uint32_t*>(bits.const_data_ptr()),
                                          x.numel() / x.size(-1), x.size(-1), y.data_ptr()},
                                         scope.stream()));
  }
  return y;
}

TensorPair rms_norm_forward(const at::Tensor& x, const std::optional<at::Tensor>& gain,
                            double eps) {
  check_rms_norm(x, gain, eps);
  return norm_forward("rms_norm", x, gain, eps, false);
}

TensorPair rms_norm_backward(const at::Tensor& grad_in, const at::Tensor& x_in,
                             const std::optional<at::Tensor>& gain_in, const at::Tensor& factor) {
  check_same_device("rms_norm_backward", x_in, {gain_in});
  const at::Tensor grad = as_fp32(grad_in), x = as_fp32(x_in);
  const bool with_gain = gain_in && gain_in->defined();
  const std::optional<at::Tensor> gain =
      with_gain ? std::optional(gain_in->contiguous()) : std::nullopt;
  const int64_t k = x.size(-1), rows = x.numel() / k;
  at::Tensor grad_x = at::empty(x.sizes(), x.options());
  at::Tensor grad_gain = at::zeros({with_gain ? k : 0}, x.options());
  const at::Tensor partial =
      at::empty({with_gain ? setun::cuda::gain_workspace(rows, k) : 0}, x.options());
  setun::cuda::NormBackwardParams p{};
  p.gain = data_or_null(gain);
  p.dx = grad_x.data_ptr<float>();
  p.gain_grad = with_gain ? grad_gain.data_ptr<float>() : nullptr;
  p.partial = with_gain ? partial.data_ptr<float>() : nullptr;
  run_backward("rms_norm_backward", p, grad, x, factor);
  return {grad_x.to(x_in.scalar_type()), grad_gain};
}

TensorPair layer_norm_forward(const at::Tensor& x, double eps) {
  check_layer_norm(x, eps);
  return norm_forward("layer_norm", x, std::nullopt, eps, true);
}

at::Tensor layer_norm_backward(const at::Tensor& grad_in, const at::Tensor& y_in,
                               const at::Tensor& factor, at::ScalarType type) {
  const at::Tensor grad = as_fp32(grad_in), y = y_in.contiguous();
  at::Tensor grad_x = at::empty(y.sizes(), y.options());
  setun::cuda::NormBackwardParams p{};
  p.layer_norm = true;
  p.dx = grad_x.data_ptr<float>();
  run_backward("layer_norm_backward", p, grad, y, factor);
  return grad_x.to(type);
}

}  // namespace setun::ops::cuda
