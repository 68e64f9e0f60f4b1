// One call of the token kernel for all rows of a tensor.
#pragma once

#include <vector>

#include "cuda/tokens.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/ops_cuda.h"

namespace setun::ops::cuda {

using setun::cuda::TokenParams;
using setun::cuda::TokenRule;

struct TokenCall {
  const char* op;
  at::Tensor x;  // as the kernel reads it
  TokenParams params{};

  // Rows are vectors of `columns` along the last dimension; 0 for all of it.
  TokenCall(const char* name, const at::Tensor& input, int64_t columns = 0)
      : op(name), x(kernel_input(input)) {
    const int64_t width = columns == 0 ? x.size(-1) : columns;
    TORCH_CHECK(width <= setun::cuda::kMaxTokenColumns, op, ": rows of at most ",
                setun::cuda::kMaxTokenColumns, " elements on CUDA, got ", width,
                "; use a scale per token, or run.device=cpu");
    params.x = x.const_data_ptr();
    params.is_bf16 = x.scalar_type() == at::kBFloat16;
    params.rows = x.numel() / width;
    params.columns = static_cast<int>(width);
  }

  void quantizer(TokenRule rule, int64_t bits, double multiplier, double eps) {
    params.rule = rule;
    params.bits = static_cast<int>(bits);
    params.multiplier = static_cast<float>(multiplier);
    params.eps = static_cast<float>(eps);
  }

  at::Tensor empty(at::ScalarType type) const {
    return at::empty(x.sizes(), x.options().dtype(type));
  }
  at::Tensor empty_per_row() const {
    std::vector<int64_t> shape = x.sizes().vec();
    shape.back() = 1;
    return at::empty(shape, x.options().dtype(at::kFloat));
  }

  // Codes and scale as every quantizer of rows returns them.
  TensorPair codes_and_scale() {
    at::Tensor codes = empty(at::kChar), scale = empty_per_row();
    params.codes = codes.data_ptr<int8_t>();
    params.code_stride = params.columns;
    params.scale = scale.data_ptr<float>();
    return {codes, scale};
  }

  void run() const {
    if (params.rows == 0) {
      return;
    }
    const DeviceScope scope(x);
    check_launch(op, setun::cuda::transform_tokens(params, scope.stream()));
  }
};

}  // namespace setun::ops::cuda
