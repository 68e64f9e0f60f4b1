// One forward over the prompt fills the cache, then one forward per token. The quantized weights of
// the context serve all of them. Sampling sorts on the processor in double: a vocabulary is small
// beside a forward pass.
#include "eval/generate.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/counter_rng.h"
#include "ops/devices.h"

namespace setun {
namespace {

void check_prompt(const std::vector<uint32_t>& prompt, const ModelOptions& model,
                  const GenerateOptions& options) {
  SETUN_CHECK(!prompt.empty(), "generate.prompt: needs at least one token; give a text");
  const auto length = static_cast<int64_t>(prompt.size());
  SETUN_CHECK(length + options.tokens <= model.max_context, "generate: the prompt's ", length,
              " tokens and generate.tokens = ", options.tokens,
              " exceed model.max_context = ", model.max_context,
              "; shorten the prompt or set generate.tokens to at most ",
              std::max<int64_t>(0, model.max_context - length));
  for (const uint32_t token : prompt) {
    SETUN_CHECK(token < model.vocab_size, "generate.prompt: token ", token,
                " is outside the model's vocabulary of ", model.vocab_size,
                "; use the tokenizer the model was trained with");
  }
}

at::Tensor to_tensor(const std::vector<uint32_t>& tokens, at::Device device) {
  at::Tensor out = at::empty({1, static_cast<int64_t>(tokens.size())}, at::kLong);
  std::copy(tokens.begin(), tokens.end(), out.data_ptr<int64_t>());
  return ops::to_device(out, device);
}

}  // namespace

uint32_t greedy_token(const at::Tensor& logits_V) {
  const auto first_largest = [](const auto* logits, int64_t count) {
    return static_cast<uint32_t>(std::max_element(logits, logits + count) - logits);
  };
  if (logits_V.scalar_type() == at::kDouble) {
    return first_largest(logits_V.cpu().contiguous().const_data_ptr<double>(), logits_V.numel());
  }
  const at::Tensor flat = logits_V.cpu().to(at::kFloat).contiguous();
  return first_largest(flat.const_data_ptr<float>(), flat.numel());
}

uint32_t sample_token(const at::Tensor& logits_V, const GenerateOptions& options, double uniform) {
  if (options.temperature == 0) {
    return greedy_token(logits_V);
  }
  const at::Tensor flat = logits_V.cpu().to(at::kDouble).contiguous();
  const double* logits = flat.const_data_ptr<double>();
  std::vector<uint32_t> order(flat.numel());
  std::iota(order.begin(), order.end(), 0u);
  const auto more_probable = [logits](uint32_t a, uint32_t b) {
    return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
  };
  if (options.top_k > 0 && options.top_k < static_cast<int64_t>(order.size())) {
    std::nth_element(order.begin(), order.begin() + options.top_k, order.end(), more_probable);
    order.resize(options.top_k);
  }
  std::sort(order.begin(), order.end(), more_probable);

  std::vector<double> cumulative(order.size());
  double sum = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    sum += std::exp((logits[order[i]] - logits[order.front()]) / options.temperature);
    cumulative[i] = sum;
  }
  const auto reaches = [&](double target) {
    const auto at = std::lower_bound(cumulative.begin(), cumulative.end(), target);
    return std::min<size_t>(at - cumulative.begin(), order.size() - 1);
  };
  const double kept = cumulative[reaches(options.top_p * sum)];
  // upper_bound: uniform 0 selects the first token, and a token of probability 0 is never selected.
  const auto chosen = std::upper_bound(cumulative.begin(), cumulative.end(), uniform * kept);
  return order[std::min<size_t>(chosen - cumulative.begin(), order.size() - 1)];
}

std::vector<uint32_t> generate(DecoderLM& model, QuantContext& context,
                               const std::vector<uint32_t>& prompt, uint32_t end_of_text,
                               const GenerateOptions& options,
                               const std::function<void(uint32_t)>& on_token) {
  check_prompt(prompt, model->options, options);
  const c10::NoGradGuard no_grad;
  const uint64_t key = random_key(static_cast<uint64_t>(options.seed), "generate");
  KvCache cache;
  std::vector<uint32_t> generated;
  at::Tensor tokens_BT = to_tensor(prompt, model->device());
  for (int64_t i = 0; i < options.tokens; ++i) {
    const at::Tensor logits =
        model->forward(tokens_BT, context, {.cache = &cache, .last_position_only = true});
    const uint32_t token = sample_token(logits.view({-1}), options, random_uniform(key, i));
    if (token == end_of_text) {
      break;
    }
    generated.push_back(token);
    if (on_token) {
      on_token(token);
    }
    tokens_BT = to_tensor({token}, model->device());
  }
  return generated;
}

}  // namespace setun
