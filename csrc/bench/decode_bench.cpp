#include "bench/decode_bench.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/randint.h>

#include <chrono>
#include <iostream>
#include <memory>
#include <vector>

#include "base/error.h"
#include "bench/contest.h"
#include "bench/op_profile.h"
#include "eval/generate.h"
#include "run/assemble.h"
#include "run/run.h"

namespace setun::bench {
namespace {

using Clock = std::chrono::steady_clock;

struct Seconds {
  double prompt = 0, decode = 0;
};

class DecodeArm {
 public:
  DecodeArm(std::string name, const RunConfig& config)
      : name_(std::move(name)),
        precision_(config.run.matmul_precision),
        made_(run::assemble_model(config, run::planned_vocab(config))) {
    made_.context->begin_step({});
  }

  // One prompt, then the greedy continuation, over a fresh cache.
  Seconds run(const at::Tensor& prompt_BT, const DecodeOptions& options) {
    const c10::NoGradGuard no_grad;
    run::set_matmul_precision(precision_);
    KvCache cache;
    const at::Tensor token_BT = at::empty({1, 1}, at::kLong);
    const Clock::time_point start = Clock::now();
    at::Tensor logits = forward(prompt_BT, cache);
    const Clock::time_point prompted = Clock::now();
    for (int64_t i = 0; i < options.tokens; ++i) {
      *token_BT.data_ptr<int64_t>() = greedy_token(logits.view({-1}));
      logits = forward(token_BT, cache);
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
  MatmulPrecision precision_;
  run::AssembledModel made_;
};

void serve(DecodeArm& arm, const at::Tensor& prompt_BT, const DecodeOptions& options) {
  arm.run(prompt_BT, options);
  std::cout << "ready" << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    const Seconds seconds = arm.run(prompt_BT, options);
    std::cout << seconds.prompt << " " << seconds.decode << std::endl;
  }
}

// One contest of the arms' seconds, each for so many tokens.
ContestResult result_of(const std::string& title, int64_t tokens,
                        const std::vector<DecodeArm>& arms,
                        std::vector<double> DecodeArm::*seconds) {
  ContestResult result = {title, "tokens/s", {}, {}, {}};
  for (const DecodeArm& arm : arms) {
    result.names.push_back(arm.name());
    result.timings.push_back(timing_of(arm.*seconds));
    result.rates.push_back(static_cast<double>(tokens) / result.timings.back().median);
  }
  return result;
}

// The recipe and what it is compared with: the fp32 model by both of LibTorch's backends first.
std::vector<DecodeArm> make_arms(const RunConfig& config) {
  RunConfig full = config, simulated = config, int8_head = config;
  full.quant = {};
  full.run.compute = ComputeDtype::kFp32;
  full.run.inference_head = InferenceHead::kCompute;
  simulated.run.products = Products::kSimulated;
  int8_head.run.inference_head = InferenceHead::kInt8;
  std::vector<DecodeArm> arms;
  full.run.matmul_precision = MatmulPrecision::kHighest;
  arms.emplace_back("full precision, fp32, default BLAS", full);
  full.run.matmul_precision = MatmulPrecision::kMedium;
  arms.emplace_back("full precision, fp32, oneDNN", full);
  arms.emplace_back("this recipe, simulated products", simulated);
  arms.emplace_back("this recipe", config);
  if (config.run.inference_head == InferenceHead::kCompute &&
      run::check(int8_head).errors.empty()) {
    arms.emplace_back("this recipe, run.inference_head=int8", int8_head);
  }
  return arms;
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
  const int64_t vocab = run::planned_vocab(config);
  const at::Tensor prompt_BT = at::randint(vocab, {1, options.prompt}, at::kLong);
  if (options.profile || options.on_request) {
    DecodeArm arm("this recipe", config);
    if (options.on_request) {
      return serve(arm, prompt_BT, options);
    }
    return print_op_profile([&] { arm.run(prompt_BT, options); }, options.repetitions, std::cout);
  }
  std::vector<DecodeArm> arms = make_arms(config);
  for (int64_t i = 0; i <= options.repetitions; ++i) {  // the first round warms up
    for (DecodeArm& arm : arms) {
      const Seconds seconds = arm.run(prompt_BT, options);
      if (i > 0) {
        arm.prompt.push_back(seconds.prompt);
        arm.decode.push_back(seconds.decode);
      }
    }
  }
  std::cout << machine_line() << "; prompt " << options.prompt << ", " << options.tokens
            << " tokens one by one, vocabulary " << vocab << ", head in "
            << (config.run.inference_head == InferenceHead::kInt8
                    ? enum_name(config.run.inference_head)
                    : enum_name(config.run.compute))
            << "; " << options.repetitions << " alternating repetitions\n";
  const std::vector<ContestResult> results = {
      result_of("prompt", options.prompt, arms, &DecodeArm::prompt),
      result_of("generation", options.tokens, arms, &DecodeArm::decode)};
  for (const ContestResult& result : results) {
    print_contest(result);
  }
  if (!options.json.empty()) {
    write_contests(options.json, results);
  }
}

}  // namespace setun::bench
