// How a quantized linear layer multiplies, and the head where nothing is learned. Both ways use the
// same codes and scales bit for bit; they differ in rounding and speed. simulated: codes / s times
// codes * a in the compute type, as quantization-aware training is usually written. integer: codes
// times codes in int32, exactly, then one scaling. Not a part of the method: a checkpoint of one
// goes on with the other.
#pragma once

#include "base/enum_names.h"

namespace setun {

enum class Products { kInteger, kSimulated };
// dX = dY Q_w(W) of an integer product. exact: dY times codes in the compute type. int8,
// int8_stochastic: dY is first rounded to 8 bits per token, to the nearest code or without bias.
enum class InputGradient { kExact, kInt8, kInt8Stochastic };
// The product of a full-precision head without gradients (generation, evaluation). compute: in the
// compute type. int8: the head's rows and the hidden states in 8-bit absmax codes.
enum class InferenceHead { kCompute, kInt8 };

template <>
struct EnumNames<Products> {
  static constexpr auto table =
      enum_table<Products>({{Products::kInteger, "integer"}, {Products::kSimulated, "simulated"}});
};
template <>
struct EnumNames<InputGradient> {
  static constexpr auto table =
      enum_table<InputGradient>({{InputGradient::kExact, "exact"},
                                 {InputGradient::kInt8, "int8"},
                                 {InputGradient::kInt8Stochastic, "int8_stochastic"}});
};
template <>
struct EnumNames<InferenceHead> {
  static constexpr auto table = enum_table<InferenceHead>(
      {{InferenceHead::kCompute, "compute"}, {InferenceHead::kInt8, "int8"}});
};

struct ProductOptions {
  Products products = Products::kInteger;
  InputGradient input_gradient = InputGradient::kExact;
  InferenceHead inference_head = InferenceHead::kCompute;
  bool operator==(const ProductOptions&) const = default;
};

}  // namespace setun
