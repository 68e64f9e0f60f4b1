// eval/perplexity.h: the mean over every valid target of the split, without touching the context or
// the gradients.
#include "eval/perplexity.h"

#include <ATen/ATen.h>

#include <cmath>

#include "base/counter_rng.h"
#include "model/tiny_model.h"
#include "support/catch.h"

namespace setun {
namespace {

constexpr int64_t kContext = 8;

std::vector<uint32_t> random_text(size_t count) {
  std::vector<uint32_t> tokens;
  for (size_t i = 0; i < count; ++i) {
    tokens.push_back(static_cast<uint32_t>(random_bits(4, i) % 41));
  }
  return tokens;
}

// Eight windows of text.
struct Split {
  explicit Split(int64_t batch) {
    const std::vector<uint64_t> one_document = {0};
    formats::write_token_shard(folder / "text.tok", random_text(8 * kContext + 1), one_document, 1,
                               41);
    auto shard = std::make_shared<formats::TokenShard>(folder / "text.tok");
    const LoaderOptions options{.batch = batch, .context = kContext, .keep_short_batch = true};
    loader = std::make_unique<Loader>(std::vector<TokenSlice>{{shard, 0, shard->size()}}, options);
  }
  test::TempDir folder;
  std::unique_ptr<Loader> loader;
};

TEST_CASE("the loss is the mean of -log p over the split, independent of the batch size") {
  test::TinyModel tiny(test::tiny_options(), test::ternary_spec());
  const std::vector<uint32_t> text = random_text(8 * kContext + 1);
  double sum = 0;
  {
    const c10::NoGradGuard no_grad;
    for (size_t start = 0; start + kContext < text.size(); start += kContext) {
      const std::vector<int64_t> window(text.begin() + start, text.begin() + start + kContext);
      const at::Tensor log_p =
          tiny.logits(at::tensor(window).unsqueeze(0))[0].log_softmax(-1, at::kDouble);
      for (int64_t t = 0; t < kContext; ++t) {
        sum -= log_p[t][text[start + t + 1]].item<double>();
      }
    }
  }
  for (const int64_t batch : {1, 3, 8}) {
    Split split(batch);
    const EvalResult result = evaluate(tiny.model, tiny.context, *split.loader, 0);
    CHECK(result.tokens == 8 * kContext);
    CHECK(result.loss == Approx(sum / (8 * kContext)).epsilon(1e-5));
    CHECK(result.perplexity == Approx(std::exp(result.loss)));
  }
}

TEST_CASE("evaluation starts over each time, reuses the step's codes and leaves no gradient") {
  test::TinyModel tiny(test::tiny_options(), test::ternary_spec());
  Split split(2);
  tiny.backward(test::random_tokens({1, 8}, 41), test::random_tokens({1, 8}, 41, 8));
  const int64_t quantized = tiny.context.quantize_count();
  const at::Tensor gradient = tiny.model->embed->weight.grad().clone();
  const EvalResult first = evaluate(tiny.model, tiny.context, *split.loader, 3);
  const EvalResult second = evaluate(tiny.model, tiny.context, *split.loader, 3);
  CHECK(first.tokens == 3 * 2 * kContext);
  CHECK(first.loss == second.loss);
  CHECK(tiny.context.quantize_count() == quantized);
  CHECK(at::equal(tiny.model->embed->weight.grad(), gradient));
  CHECK(evaluate(tiny.model, tiny.context, *split.loader, 100).tokens == 8 * kContext);
}

}  // namespace
}  // namespace setun
