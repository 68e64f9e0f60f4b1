// Gradient checkpointing: bit-equal gradients, no second quantization, and what is still held after
// the forward pass.
#include "model/recompute.h"

#include "bench/counting_allocator.h"
#include "model/tiny_model.h"
#include "support/catch.h"

namespace setun {
namespace {

TEST_CASE("recomputing blocks gives the loss and every gradient bit for bit") {
  for (const auto& [placement, name] : EnumNames<NormPlacement>::table) {
    for (const LinearSpec& spec : {LinearSpec{}, test::ternary_spec()}) {
      ModelOptions options = test::tiny_options();
      options.norm.placement = placement;
      test::TinyModel plain(options, spec), recomputed(options, spec);
      const at::Tensor targets = test::random_tokens({2, 16}, 41, 8);
      at::Tensor documents = targets.cumsum(1).div(100, "floor").to(at::kLong);
      for (const uint64_t micro_batch : {1, 2}) {
        const at::Tensor tokens = test::random_tokens({2, 16}, 41, micro_batch);
        const double a =
            cross_entropy_sum(plain.logits(tokens, {.documents_BT = documents}), targets)
                .sum.item<double>();
        const ForwardOptions again{.documents_BT = documents, .recompute_blocks = true};
        CHECK(a == cross_entropy_sum(recomputed.logits(tokens, again), targets).sum.item<double>());
        cross_entropy_sum(plain.logits(tokens, {.documents_BT = documents}), targets)
            .sum.backward();
        cross_entropy_sum(recomputed.logits(tokens, again), targets).sum.backward();
      }
      plain.context.backward_to_latents();
      recomputed.context.backward_to_latents();
      CHECK(recomputed.context.quantize_count() == plain.context.quantize_count());
      const auto expected = plain.model->named_parameters();
      for (const auto& item : recomputed.model->named_parameters()) {
        INFO(name << " " << item.key());
        REQUIRE(item.value().grad().defined());
        CHECK(at::equal(item.value().grad(), expected[item.key()].grad()));
      }
    }
  }
}

// Bytes the graph holds between forward and backward.
int64_t held_after_forward(test::TinyModel& tiny, const at::Tensor& tokens, bool recompute_blocks) {
  auto& memory = bench::CountingAllocator::instance();
  {
    const at::Tensor warm = tiny.logits(tokens);
  }  // quantized weights are made before the measurement
  tiny.context.begin_step(tiny.context.state());  // lets go of the warm-up's last input
  const int64_t before = memory.live();
  const at::Tensor logits = tiny.logits(tokens, {.recompute_blocks = recompute_blocks});
  return memory.live() - before;
}

TEST_CASE("with recomputation a block holds its input and nothing else") {
  ModelOptions options = test::tiny_options();
  options.layers = 4;
  test::TinyModel tiny(options, test::ternary_spec());
  const at::Tensor tokens = test::random_tokens({4, 32}, 41);
  options.layers = 3;
  test::TinyModel shorter(options, test::ternary_spec());
  const int64_t a_block =
      held_after_forward(tiny, tokens, true) - held_after_forward(shorter, tokens, true);
  const int64_t input = 4 * 32 * 32 * 4;
  CHECK(a_block >= input);
  CHECK(a_block < 2 * input);  // and the small rotary tables
  CHECK(held_after_forward(tiny, tokens, false) > 3 * held_after_forward(tiny, tokens, true));
}

TEST_CASE("recomputation without gradients is the plain forward") {
  test::TinyModel tiny(test::tiny_options());
  const c10::NoGradGuard no_grad;
  const at::Tensor tokens = test::random_tokens({1, 5}, 41);
  CHECK(at::equal(tiny.logits(tokens, {.recompute_blocks = true}), tiny.logits(tokens)));
}

TEST_CASE("an input that needs no gradient is refused: the leaves inside would get none") {
  const at::Tensor x = at::ones({2});
  CHECK_THROWS_AS(recompute_in_backward(x, [](const at::Tensor& y) { return std::vector{y}; }),
                  InternalError);
}

}  // namespace
}  // namespace setun
