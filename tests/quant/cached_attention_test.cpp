// ops::cached_attention: the double-precision formula, the cache it writes, equal bits on every
// path and thread count, shared key heads, and what it refuses.
#include <ATen/ATen.h>

#include "ops/cpu/reference_few_rows.h"
#include "ops/few_rows_ops.h"
#include "ops/kernel_calls.h"
#include "quant/tensors.h"
#include "support/catch.h"

namespace setun {
namespace {

using test::normal;
using test::on_every_path;
using test::same_bits;

struct Case {
  int64_t batch, heads, kv_heads, width, length;
};

struct Inputs {
  at::Tensor q, k, v, keys, values;
};

// A cache with room for three more positions, which hold what must not be read.
Inputs inputs_of(const Case& c, at::ScalarType type) {
  const auto make = [&](at::IntArrayRef shape, int64_t seed) {
    return normal(shape, seed).to(type);
  };
  Inputs in = {make({c.batch, c.heads, 1, c.width}, 1), make({c.batch, c.kv_heads, 1, c.width}, 2),
               make({c.batch, c.kv_heads, 1, c.width}, 3),
               make({c.batch, c.kv_heads, c.length + 3, c.width}, 4),
               make({c.batch, c.kv_heads, c.length + 3, c.width}, 5)};
  in.q = in.q * 3;  // scores far enough apart for a softmax that is not flat
  in.keys.narrow(2, c.length, 3).fill_(std::nanf(""));
  in.values.narrow(2, c.length, 3).fill_(std::nanf(""));
  return in;
}

std::vector<double> doubles(const at::Tensor& t) {
  const at::Tensor flat = t.to(at::kDouble).contiguous();
  return {flat.const_data_ptr<double>(), flat.const_data_ptr<double>() + flat.numel()};
}

void check_values(const Case& c, const Inputs& in, const at::Tensor& y, double room) {
  const at::Tensor keys = at::cat({in.keys.narrow(2, 0, c.length), in.k}, 2),
                   values = at::cat({in.values.narrow(2, 0, c.length), in.v}, 2);
  for (int64_t b = 0; b < c.batch; ++b) {
    for (int64_t head = 0; head < c.heads; ++head) {
      const int64_t kv_head = head / (c.heads / c.kv_heads);
      const at::Tensor exact =
          at::tensor(ops::reference::attend(doubles(in.q[b][head]), doubles(keys[b][kv_head]),
                                            doubles(values[b][kv_head]), c.length + 1),
                     at::kDouble);
      const at::Tensor got = y[b][0].narrow(0, head * c.width, c.width).to(at::kDouble);
      CHECK((got - exact).abs().max().item<double>() <= room);
    }
  }
}

void check_case(const Case& c) {
  INFO(c.batch << " x " << c.heads << " / " << c.kv_heads << " heads of " << c.width << ", "
               << c.length << " cached");
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const Inputs in = inputs_of(c, type);
    at::Tensor first;
    on_every_path([&] {
      at::Tensor keys = in.keys.clone(), values = in.values.clone();
      const at::Tensor y = ops::cached_attention(in.q, in.k, in.v, keys, values, c.length);
      CHECK(same_bits(keys.narrow(2, c.length, 1), in.k));
      CHECK(same_bits(values.narrow(2, c.length, 1), in.v));
      CHECK(same_bits(keys.narrow(2, 0, c.length), in.keys.narrow(2, 0, c.length)));
      if (!first.defined()) {
        first = y;
        // values of order 4: fp32 sums, or one rounding to bf16
        check_values(c, in, y, type == at::kFloat ? 2e-6 : 0.016);
      }
      CHECK(same_bits(y, first));
    });
  }
}

TEST_CASE("cached_attention is softmax(q K^T / sqrt(d)) V over what it just cached", "[quant]") {
  check_case({1, 1, 1, 64, 0});
  check_case({1, 2, 2, 32, 1});
  check_case({2, 4, 2, 64, 37});
  check_case({1, 6, 1, 128, 300});
  check_case({1, 3, 3, 40, 70});  // a width that is no multiple of a block
  check_case({2, 2, 1, 6, 33});
  check_case({1, 34, 2, 16, 5});  // more queries a key head than a register tile
}

TEST_CASE("cached_attention reads transposed views and equals LibTorch's", "[quant]") {
  const Case c = {2, 4, 2, 32, 20};
  const Inputs in = inputs_of(c, at::kFloat);
  const at::Tensor q = in.q.transpose(1, 2).contiguous().transpose(1, 2),
                   k = in.k.expand({2, 2, 1, 32}).contiguous();
  at::Tensor keys = in.keys.clone(), values = in.values.clone();
  const at::Tensor y = ops::cached_attention(q, k, in.v, keys, values, c.length);
  const at::Tensor wanted = at::scaled_dot_product_attention(
      in.q, keys.narrow(2, 0, 21), values.narrow(2, 0, 21), std::nullopt, 0.0, false, std::nullopt,
      /*enable_gqa=*/true);
  CHECK(at::allclose(y, wanted.transpose(1, 2).reshape({2, 1, 128}), 1e-5, 1e-6));
  CHECK(test::alike(
      ops::cached_attention(in.q.to(at::kMeta), in.k.to(at::kMeta), in.v.to(at::kMeta),
                            keys = keys.to(at::kMeta), values = values.to(at::kMeta), 20),
      y));
}

TEST_CASE("cached_attention: a NaN key or value reaches its heads, and no others", "[quant]") {
  const Case c = {1, 4, 2, 16, 9};
  Inputs in = inputs_of(c, at::kFloat);
  in.keys[0][0][4][3] = std::nanf("");
  on_every_path([&] {
    at::Tensor keys = in.keys.clone(), values = in.values.clone();
    const int64_t before = ops::kernel_calls(Kernel::kCachedAttention, cpu_path());
    const at::Tensor y = ops::cached_attention(in.q, in.k, in.v, keys, values, c.length);
    CHECK(ops::kernel_calls(Kernel::kCachedAttention, cpu_path()) == before + 1);
    CHECK(y[0][0].narrow(0, 0, 32).isnan().all().item<bool>());
    CHECK(y[0][0].narrow(0, 32, 32).isfinite().all().item<bool>());
  });
}

TEST_CASE("cached_attention refuses gradients, several tokens and a full cache", "[quant]") {
  using Catch::Matchers::Contains;
  const Case c = {1, 4, 2, 16, 9};
  Inputs in = inputs_of(c, at::kFloat);
  const auto call = [&](const at::Tensor& q, int64_t length) {
    ops::cached_attention(q, in.k, in.v, in.keys, in.values, length);
  };
  CHECK_THROWS_WITH(call(in.q, 12), Contains("expected a length of 0 to 11"));
  CHECK_THROWS_WITH(call(in.q.expand({1, 4, 2, 16}), 3), Contains("one token"));
  CHECK_THROWS_WITH(call(in.q.narrow(1, 0, 3), 3), Contains("a divisor of 3"));
  CHECK_THROWS_WITH(call(in.q.to(at::kBFloat16), 3), Contains("of q's type"));
  CHECK_THROWS_WITH(call(in.q.clone().requires_grad_(), 3), Contains("has no gradient"));
  CHECK_THROWS_WITH(ops::cached_attention(in.q, in.v.narrow(1, 0, 1), in.v, in.keys, in.values, 3),
                    Contains("expected k and v [1, 2, 1, 16]"));
}

}  // namespace
}  // namespace setun
