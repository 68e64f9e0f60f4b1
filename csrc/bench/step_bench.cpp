#include "bench/step_bench.h"

#include <ATen/ops/randint.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <iomanip>
#include <iostream>
#include <memory>
#include <vector>

#include "base/error.h"
#include "base/text.h"
#include "bench/contest.h"
#include "bench/counting_allocator.h"
#include "bench/op_profile.h"
#include "bench/plain_decoder.h"
#include "eval/token_loss.h"
#include "loss/cross_entropy.h"
#include "quant/projected_weights.h"
#include "run/assemble.h"
#include "train/trainer.h"

namespace setun::bench {
namespace {

// Does one optimizer step each time it is called.
using Step = std::function<void()>;

struct Contestant {
  std::string name;
  std::function<Step()> make;
};

at::Tensor random_tokens(const RunConfig& config, int64_t vocab) {
  return at::randint(vocab, {config.data.batch, config.data.context + 1}, at::kLong);
}

Step setun_arm(const RunConfig& config) {
  const int64_t vocab = run::planned_vocab(config);
  auto model = std::make_shared<run::AssembledModel>(run::assemble_model(config, vocab));
  std::shared_ptr<AdamW> optimizer =
      run::make_optimizer(config, named_tensors(*model->model), model->context->plan());
  std::vector<at::Tensor> weights;
  for (const NamedLinear& item : linear_layers(model->model)) {
    weights.push_back(item.linear->weight);
  }
  auto projected = std::make_shared<ProjectedWeights>(*model->context, weights);
  share_ternary(*model->context, *optimizer, linear_layers(model->model));
  const at::Tensor tokens = random_tokens(config, vocab);
  StepState state;
  state.phase = model->context->plan().phase_at(run::total_steps(config) - 1);
  state.step = run::total_steps(config) - 1;
  projected->project(state);
  return [=] {
    run::set_matmul_precision(config.run.matmul_precision);
    model->context->begin_step(state);
    const int64_t length = config.data.context;
    const TokenLoss loss =
        token_loss(model->model, *model->context, tokens.narrow(1, 0, length),
                   tokens.narrow(1, 1, length), {.recompute_blocks = config.run.recompute_blocks});
    (loss.sum / static_cast<double>(loss.valid())).backward();
    model->context->backward_to_latents();
    projected->backward_to_latents();
    optimizer->clip_grad_norm(config.optim.clip_norm);
    projected->before_step();
    optimizer->step(1e-3, 0.1);
    projected->after_step();
    model->context->invalidate();
    projected->project(state);
  };
}

Step plain_arm(const RunConfig& config, at::ScalarType compute, MatmulPrecision precision) {
  ModelOptions options = config.model;
  options.vocab_size = run::planned_vocab(config);
  const PlainDecoder model(options, compute);
  const auto optimizer = std::make_shared<PlainOptimizer>(model->parameters(), config.optim);
  const at::Tensor tokens = random_tokens(config, options.vocab_size);
  return [=]() mutable {
    run::set_matmul_precision(precision);
    const at::Tensor logits = model.ptr()->forward(tokens.narrow(1, 0, config.data.context));
    const TokenLoss loss = cross_entropy_sum(logits, tokens.narrow(1, 1, config.data.context));
    (loss.sum / static_cast<double>(loss.valid())).backward();
    optimizer->step(1e-3, 0.1);
  };
}

struct Peak {
  double process = 0;  // largest resident memory in bytes
  double step = 0;     // the same, less what was resident before the model was built: libraries
  double tensors = 0;  // largest sum of what LibTorch had allocated
};

double largest_resident_bytes() {
  struct rusage usage {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * 1024;
}

// Of building the arm and three of its steps, in a process of their own.
Peak peak_of(const Contestant& contestant, const RunOptions& options) {
  int channel[2];
  SETUN_CHECK(pipe(channel) == 0, "bench step: pipe failed");
  const pid_t child = fork();
  SETUN_CHECK(child >= 0, "bench step: fork failed");
  Peak peak;
  if (child == 0) {
    try {
      run::set_up_process(options);
      CountingAllocator& tensors = CountingAllocator::instance();
      const double before = largest_resident_bytes();
      const Step arm = contestant.make();
      for (int i = 0; i < 3; ++i) {
        arm();
      }
      peak = {largest_resident_bytes(), largest_resident_bytes() - before,
              static_cast<double>(tensors.take_peak())};
    } catch (const std::exception& problem) {
      std::cerr << problem.what() << "\n";
    }
    _exit(write(channel[1], &peak, sizeof peak) == sizeof peak ? 0 : 1);
  }
  close(channel[1]);
  const bool got = read(channel[0], &peak, sizeof peak) == sizeof peak;
  close(channel[0]);
  waitpid(child, nullptr, 0);
  SETUN_CHECK(got && peak.process > 0, "bench step: the memory measurement of '", contestant.name,
              "' failed");
  return peak;
}

// The faster of LibTorch's fp32 backends, which the ratios divide by, stands in the first two rows.
void print_table(const ContestResult& result, const std::vector<Peak>& peaks) {
  const double baseline = std::min(result.timings[0].median, result.timings[1].median);
  std::cout << std::left << std::setw(38) << "arm" << std::right << std::setw(10) << "median ms"
            << std::setw(10) << "min" << std::setw(10) << "max" << std::setw(12) << result.unit
            << std::setw(9) << "ratio" << std::setw(12) << "peak RSS" << std::setw(13)
            << "of the step"
            << "\n";
  for (std::size_t a = 0; a < result.names.size(); ++a) {
    const Timing& time = result.timings[a];
    std::cout << std::left << std::setw(38) << result.names[a] << std::right << std::fixed
              << std::setprecision(1) << std::setw(10) << 1e3 * time.median << std::setw(10)
              << 1e3 * time.least << std::setw(10) << 1e3 * time.most << std::setw(12)
              << std::setprecision(0) << result.rates[a] << std::setw(9) << std::setprecision(2)
              << time.median / baseline << std::setw(12) << human_bytes(peaks[a].process)
              << std::setw(13) << human_bytes(peaks[a].step) << std::setw(12)
              << human_bytes(peaks[a].tensors) << "\n";
  }
}

std::vector<Contestant> contestants_of(const RunConfig& config) {
  const auto plain = [&config](at::ScalarType compute, MatmulPrecision precision) {
    return [&config, compute, precision] { return plain_arm(config, compute, precision); };
  };
  std::vector<Contestant> contestants = {
      {"plain LibTorch, fp32, default BLAS", plain(at::kFloat, MatmulPrecision::kHighest)},
      {"plain LibTorch, fp32, oneDNN", plain(at::kFloat, MatmulPrecision::kMedium)}};
  if (config.run.compute == ComputeDtype::kBf16) {
    contestants.push_back({"plain LibTorch, bf16", plain(at::kBFloat16, MatmulPrecision::kMedium)});
  }
  RunConfig full = config, simulated = config, eight = config;
  full.quant = {};
  simulated.run.products = Products::kSimulated;
  eight.run.input_gradient = InputGradient::kInt8;
  contestants.push_back({"Setun, full precision", [full] { return setun_arm(full); }});
  contestants.push_back(
      {"Setun, simulated products", [simulated] { return setun_arm(simulated); }});
  contestants.push_back({"Setun, this recipe", [&config] { return setun_arm(config); }});
  if (config.run.input_gradient == InputGradient::kExact) {
    contestants.push_back({"Setun, run.input_gradient=int8", [eight] { return setun_arm(eight); }});
  }
  return contestants;
}

void check_decoder(const RunConfig& config) {
  SETUN_CHECK(!config.model.classifies(), "setun bench step: model.kind is ",
              enum_name(config.model.kind), "; only decoders are compared");
}

}  // namespace

void profile_step(const RunConfig& config, int64_t repetitions) {
  check_decoder(config);
  run::set_up_process(config.run);
  std::cout << machine_line() << ", " << enum_name(config.run.compute) << " compute\n";
  print_op_profile(setun_arm(config), repetitions, std::cout);
}

void serve_steps(const RunConfig& config) {
  check_decoder(config);
  run::set_up_process(config.run);
  const Step step = setun_arm(config);
  step();
  std::cout << "ready" << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << std::setprecision(6) << seconds_of(step) << std::endl;
  }
}

void bench_step(const RunConfig& config, const StepBenchOptions& options) {
  check_decoder(config);
  check_plain(config.model);
  const std::vector<Contestant> contestants = contestants_of(config);
  std::vector<Peak> peaks;  // first, in children: the parent must not have started threads yet
  for (const Contestant& contestant : contestants) {
    peaks.push_back(peak_of(contestant, config.run));
  }
  run::set_up_process(config.run);
  const int64_t tokens = config.data.batch * config.data.context;
  Contest contest = {"training step of " + std::to_string(tokens) + " tokens", "tokens/s", {}};
  for (const Contestant& contestant : contestants) {
    contest.arms.push_back({contestant.name, contestant.make(), static_cast<double>(tokens)});
  }
  const ContestResult result = run_contest(contest, options.repetitions);
  std::cout << machine_line() << ", " << enum_name(config.run.compute) << " compute\n"
            << tokens << " tokens a step, " << options.repetitions
            << " alternating repetitions; ratios to the faster fp32 arm of plain LibTorch\n";
  print_table(result, peaks);
  if (!options.json.empty()) {
    write_contests(options.json, {result});
  }
}

}  // namespace setun::bench
