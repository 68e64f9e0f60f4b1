// What the tests of the CUDA operators' glue share: bits compared, the CPU's kernel by name, input.
#pragma once

#include <string>
#include <vector>

#include "ops/cuda/ops_cuda.h"
#include "support/catch.h"
#include "support/test_headers.h"

namespace setun::test {

namespace glue = ops::cuda;
using Tensors = std::vector<at::Tensor>;

// Equal bits, a NaN equal to any other.
inline bool identical(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes() || a.scalar_type() != b.scalar_type()) {
    return false;
  }
  if (!a.is_floating_point()) {
    return a.equal(b);
  }
  return a.isnan().equal(b.isnan()) && a.nan_to_num(0).equal(b.nan_to_num(0)) &&
         a.nan_to_num(0).signbit().equal(b.nan_to_num(0).signbit());
}

// The CPU kernel of the same name through the dispatcher.
inline Tensors on_cpu(const char* name, c10::Stack stack) {
  const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow((std::string("setun::") + name).c_str(), "");
  op.callBoxed(stack);
  Tensors out;
  for (const c10::IValue& v : stack) {
    out.push_back(v.toTensor());
  }
  return out;
}

template <class... T>
Tensors list(const std::tuple<T...>& results) {
  return std::apply([](const auto&... t) { return Tensors{t...}; }, results);
}

inline at::Tensor input(at::IntArrayRef shape) {
  at::manual_seed(5);
  return at::randn(shape);
}

// The glue's results against those of the CPU's kernel, bit for bit.
inline void check_same(const Tensors& got, const Tensors& wanted) {
  REQUIRE(got.size() == wanted.size());
  for (size_t i = 0; i < got.size(); ++i) {
    CHECK(identical(got[i], wanted[i]));
  }
}

}  // namespace setun::test
