#include "quant/estimators/integer_linear.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <torch/csrc/autograd/custom_function.h>

#include "base/error.h"
#include "ops/dispatch.h"
#include "ops/step_ops.h"

namespace setun {
namespace {

using OptionalTensor = std::optional<at::Tensor>;  // a Function takes no undefined tensor
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor multiply(const IntegerOperands& o) {
  return ops::ternary_linear(o.input.rows, o.weight.packed, o.weight.scale, o.compute);
}

// x_q [M, I] in the type of a product.
at::Tensor input_operand(const at::Tensor& codes, const at::Tensor& multiplier, int64_t columns,
                         at::ScalarType compute) {
  const at::Tensor wide =
      codes.scalar_type() == at::kByte ? ops::unpack_int4(codes, columns) : codes;
  return ops::dequantize_rows(wide.reshape({-1, columns}), multiplier.reshape({-1, 1}), compute);
}

// dY w_q. One scale multiplies the product as it is stored, or, where reading it would make the
// host wait for a device, the stored product; others go into the codes first.
at::Tensor exact_input_gradient(const at::Tensor& dy_MO, const ops::PackedTernary& packed,
                                const at::Tensor& scale) {
  const at::ScalarType compute = dy_MO.scalar_type();
  if (scale.numel() == 1 && !scale.is_cpu()) {
    return at::mm(dy_MO, ops::unpack_ternary(packed, compute)).mul_(scale);
  }
  if (scale.numel() == 1) {
    at::Tensor dx = at::empty({dy_MO.size(0), packed.columns}, dy_MO.options());
    return at::addmm_out(dx, dx, dy_MO, ops::unpack_ternary(packed, compute), /*beta=*/0,
                         /*alpha=*/scale.item<float>());
  }
  const at::Tensor codes = ops::unpack_ternary(packed, at::kFloat);
  const at::Tensor grouped = codes.view({packed.rows, scale.size(1), -1});
  return at::mm(dy_MO, grouped.mul(scale.unsqueeze(-1)).view_as(codes).to(compute));
}

// dY in 8 bits per token; the scale of a weight's rows goes into it first.
at::Tensor int8_input_gradient(const at::Tensor& dy_MO, const ops::PackedTernary& transposed,
                               const at::Tensor& scale, bool stochastic, int64_t key) {
  const bool rows = scale.numel() > 1;
  SETUN_ASSERT(!rows || scale.size(1) == 1, "an int8 input gradient of groups ", scale.sizes());
  const at::Tensor dy = rows ? dy_MO.mul(scale.view({1, -1})) : dy_MO;
  const ops::RowCodes q = ops::quantize_gradient_rows(dy, stochastic, key);
  return ops::ternary_linear(q, transposed, rows ? scale.new_ones({1, 1}) : scale,
                             dy_MO.scalar_type());
}

struct IntegerLinear : torch::autograd::Function<IntegerLinear> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& edge,
                            const OptionalTensor& leaf, const IntegerOperands& o) {
    static_cast<void>(edge);
    ctx->save_for_backward({o.input.rows.codes, o.input.rows.scale, o.weight.packed.packed,
                            o.weight.transposed.packed, o.weight.scale});
    ctx->saved_data["learned"] = leaf.has_value();
    ctx->saved_data["rows"] = o.weight.packed.rows;
    ctx->saved_data["columns"] = o.weight.packed.columns;
    ctx->saved_data["compute"] = static_cast<int64_t>(o.compute);
    ctx->saved_data["gradient"] = static_cast<int64_t>(o.gradient);
    ctx->saved_data["key"] = static_cast<int64_t>(o.draws_key);
    return multiply(o);
  }

  static at::Tensor input_gradient(AutogradContext* ctx, const variable_list& saved,
                                   const at::Tensor& dy_MO) {
    const int64_t rows = ctx->saved_data["rows"].toInt();
    const int64_t columns = ctx->saved_data["columns"].toInt();
    const auto gradient = static_cast<InputGradient>(ctx->saved_data["gradient"].toInt());
    switch (gradient) {
      case InputGradient::kExact:
        break;
      case InputGradient::kInt8:
      case InputGradient::kInt8Stochastic:
        return int8_input_gradient(dy_MO, {saved[3], columns, rows}, saved[4],
                                   gradient == InputGradient::kInt8Stochastic,
                                   ctx->saved_data["key"].toInt());
    }
    return exact_input_gradient(dy_MO, {saved[2], rows, columns}, saved[4]);
  }

  static variable_list backward(AutogradContext* ctx, variable_list upstream) {
    const ops::OwnTypes own_types;
    const variable_list saved = ctx->get_saved_variables();
    const auto compute = static_cast<at::ScalarType>(ctx->saved_data["compute"].toInt());
    const int64_t columns = ctx->saved_data["columns"].toInt();
    const at::Tensor dy_MO = upstream[0].to(compute).reshape({-1, ctx->saved_data["rows"].toInt()});
    at::Tensor dx, dw;
    if (ctx->needs_input_grad(0)) {
      std::vector<int64_t> sizes = upstream[0].sizes().vec();
      sizes.back() = columns;
      dx = input_gradient(ctx, saved, dy_MO).view(sizes);
    }
    if (ctx->saved_data["learned"].toBool()) {
      const at::Tensor x_MI = input_operand(saved[0], saved[1], columns, compute);
      dw = at::mm(dy_MO.t(), x_MI).to(at::kFloat);
    }
    return {dx, dw, at::Tensor()};
  }
};

}  // namespace

at::Tensor integer_linear(const IntegerOperands& operands) {
  if (!c10::GradMode::is_enabled()) {
    return multiply(operands);
  }
  const OptionalTensor leaf =
      operands.leaf.defined() ? OptionalTensor(operands.leaf) : std::nullopt;
  return IntegerLinear::apply(operands.input.edge, leaf, operands);
}

}  // namespace setun
