#include "bench/decode_bench.h"

#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/randint.h>

#include <algorithm>
#include <chrono>
#include <iomanip>
#include <iostream>
#include <memory>
#include <vector>

#include "base/cpu_features.h"
#include "base/error.h"
#include "bench/op_profile.h"
#include "eval/generate.h"
#include "run/assemble.h"

namespace setun::bench {
namespace {

using Clock = std::chrono::steady_clock;

struct Seconds {
  double prompt = 0, decode = 0;
};

class Arm {
 public:
  Arm(std::string name, const RunConfig& config)
      : name_(std::move(name)), made_(run::assemble_model(config, run::planned_vocab(config))) {
    made_.context->begin_step({});
  }

  // One prompt, then the greedy continuation, over a fresh cache.
  Seconds run(const at::Tensor& prompt_BT, const DecodeOptions& options) {
    const c10::NoGradGuard no_grad;
    KvCache cache;
    const Clock::time_point start = Clock::now();
    at::Tensor logits = forward(prompt_BT, cache);
    const Clock::time_point prompted = Clock::now();
    for (int64_t i = 0; i < options.tokens; ++i) {
      logits = forward(logits.argmax(-1).view({1, 1}), cache);
    }
    const Clock::time_point end = Clock::now();
    return {std::chrono::duration<double>(prompted - start).count(),
            std::chrono::duration<double>(end - prompted).count()};
  }

  const std::string& name() const { return name_; }
  std::vector<double> prompt, decode;

 private:
  at::Tensor forward(const at::Tensor& tokens_BT, KvCache& cache) {
    return made_.model->forward(tokens_BT, *made_.context,
                                {.cache = &cache, .last_position_only = true});
  }

  std::string name_;
  run::AssembledModel made_;
};

double median_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void print(const std::vector<Arm>& arms, const DecodeOptions& options) {
  std::cout << std::left << std::setw(38) << "arm" << std::right << std::setw(14) << "prompt tok/s"
            << std::setw(8) << "ratio" << std::setw(14) << "decode tok/s" << std::setw(8) << "ratio"
            << std::setw(12) << "ms a token" << std::setw(9) << "spread"
            << "\n";
  const double prompt0 = median_of(arms.front().prompt), decode0 = median_of(arms.front().decode);
  for (const Arm& arm : arms) {
    const double prompt = median_of(arm.prompt), decode = median_of(arm.decode);
    const auto [low, high] = std::minmax_element(arm.decode.begin(), arm.decode.end());
    const auto tokens = static_cast<double>(options.tokens);
    std::cout << std::left << std::setw(38) << arm.name() << std::right << std::fixed
              << std::setprecision(0) << std::setw(14)
              << static_cast<double>(options.prompt) / prompt << std::setprecision(2)
              << std::setw(8) << prompt0 / prompt << std::setprecision(0) << std::setw(14)
              << tokens / decode << std::setprecision(2) << std::setw(8) << decode0 / decode
              << std::setprecision(3) << std::setw(12) << 1e3 * decode / tokens
              << std::setprecision(0) << std::setw(8) << 100 * (*high - *low) / decode << "%\n";
  }
}

}  // namespace

void bench_decode(const RunConfig& config, const DecodeOptions& options) {
  SETUN_CHECK(!config.model.classifies(), "setun bench decode: model.kind is ",
              enum_name(config.model.kind), "; only decoders generate");
  SETUN_CHECK(options.prompt + options.tokens <= config.model.max_context,
              "setun bench decode: --prompt ", options.prompt, " and --tokens ", options.tokens,
              " exceed model.max_context = ", config.model.max_context,
              "; lower them or raise model.max_context");
  run::set_up_process(config.run);
  RunConfig full = config, simulated = config;
  full.quant = {};
  full.run.compute = ComputeDtype::kFp32;
  simulated.run.products = Products::kSimulated;
  std::vector<Arm> arms;
  arms.emplace_back("full precision, fp32", full);
  arms.emplace_back("this recipe, simulated products", simulated);
  arms.emplace_back("this recipe", config);
  const int64_t vocab = run::planned_vocab(config);
  const at::Tensor prompt_BT = at::randint(vocab, {1, options.prompt}, at::kLong);
  if (options.profile) {
    print_op_profile([&] { arms.back().run(prompt_BT, options); }, options.repetitions, std::cout);
    return;
  }
  for (int64_t i = 0; i <= options.repetitions; ++i) {  // the first round warms up
    for (Arm& arm : arms) {
      const Seconds seconds = arm.run(prompt_BT, options);
      if (i > 0) {
        arm.prompt.push_back(seconds.prompt);
        arm.decode.push_back(seconds.decode);
      }
    }
  }
  std::cout << cpu_model_name() << ", " << at::get_num_threads() << " threads, Setun path "
            << enum_name(cpu_path()) << ", ATen " << at::get_cpu_capability() << "; prompt "
            << options.prompt << ", " << options.tokens << " tokens one by one, vocabulary "
            << vocab << ", head in " << enum_name(config.run.compute) << "; " << options.repetitions
            << " alternating repetitions\n";
  print(arms, options);
}

}  // namespace setun::bench
