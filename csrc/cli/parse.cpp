#include "cli/parse.h"

#include <CLI/CLI.hpp>
#include <iostream>
#include <span>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/commands.h"

namespace setun::cli {
namespace {

struct Arguments {
  Target target;
  bool full = false;
  bool verbose = false;
  bool dry_run = false;
  bool table = false;
  bench::StepBenchOptions step;
  bool profile = false;
  bool on_request = false;
  bench::DecodeOptions decode;
  bench::KernelBenchOptions kernels;
};

CLI::App* add_verb(CLI::App& parent, Arguments& arguments, const char* name, const char* help,
                   const char* what = "recipe.yaml, or the folder of a run or checkpoint") {
  CLI::App* verb = parent.add_subcommand(name, help);
  verb->add_option("recipe", arguments.target.path, what)->required();
  verb->add_option("override", arguments.target.overrides, "section.key=value, any number of them");
  return verb;
}

void add_sweep(CLI::App& app, Arguments& arguments) {
  CLI::App* sweep = app.add_subcommand("sweep", "train the runs of a sweep file, resumable");
  sweep->add_option("sweep", arguments.target.path, "sweep.yaml")->required();
  sweep->add_option("override", arguments.target.overrides,
                    "key=value of the sweep file, any number of them");
  sweep->add_flag("--dry-run", arguments.dry_run, "sizes, memory and time of every run, and stop");
  sweep->add_flag("--table", arguments.table, "the results so far, and stop");
  sweep->callback([&] { cmd_sweep(arguments.target, arguments.dry_run, arguments.table); });
}

void add_bench_step(CLI::App& bench, Arguments& arguments) {
  CLI::App* step = add_verb(bench, arguments, "step",
                            "a training step against full precision and plain LibTorch");
  step->add_option("--repetitions", arguments.step.repetitions, "alternating repetitions")
      ->check(CLI::PositiveNumber);
  step->add_option("--json", arguments.step.json, "file for the results");
  CLI::Option* profile = step->add_flag("--profile", arguments.profile,
                                        "where the time of the recipe's step goes, by operator");
  step->add_flag("--on-request", arguments.on_request,
                 "one step of the recipe for every line of input; prints its seconds")
      ->excludes(profile);
  step->callback([&] {
    cmd_bench_step(arguments.target, arguments.step,
                   arguments.profile      ? StepBenchMode::kProfile
                   : arguments.on_request ? StepBenchMode::kOnRequest
                                          : StepBenchMode::kTable);
  });
}

void add_bench_decode(CLI::App& bench, Arguments& arguments) {
  CLI::App* decode =
      add_verb(bench, arguments, "decode", "prompt and generation speed against full precision");
  decode->add_option("--repetitions", arguments.decode.repetitions, "alternating repetitions")
      ->check(CLI::PositiveNumber);
  decode->add_option("--prompt", arguments.decode.prompt, "tokens of the prompt")
      ->check(CLI::PositiveNumber);
  decode->add_option("--tokens", arguments.decode.tokens, "tokens generated behind it")
      ->check(CLI::PositiveNumber);
  decode->add_option("--json", arguments.decode.json, "file for the results");
  CLI::Option* profile =
      decode->add_flag("--profile", arguments.decode.profile, "where the time goes, by operator");
  decode
      ->add_flag("--on-request", arguments.decode.on_request,
                 "one prompt and its tokens for every line of input; prints the seconds of both")
      ->excludes(profile);
  decode->callback([&] { cmd_bench_decode(arguments.target, arguments.decode); });
}

void add_bench_kernels(CLI::App& bench, Arguments& arguments) {
  bench::KernelBenchOptions& options = arguments.kernels;
  CLI::App* kernels =
      bench.add_subcommand("kernels", "operators against LibTorch's and the memory's speed");
  kernels->add_option("--threads", options.threads, "threads, default every core")
      ->check(CLI::PositiveNumber);
  kernels->add_option("--repetitions", options.repetitions, "alternating repetitions")
      ->check(CLI::PositiveNumber);
  kernels->add_option("--shape", options.shapes, "rows x columns x outputs, any number of them");
  kernels->add_option("--path", options.path, "scalar, avx2, avx512 or avx512_vnni");
  kernels->add_option("--only", options.only,
                      "product, decode, head, activations, weights, attention or hadamard");
  kernels->add_option("--json", options.json, "file for the results");
  kernels->callback([&] { cmd_bench_kernels(arguments.kernels); });
}

void add_bench(CLI::App& app, Arguments& arguments) {
  CLI::App* bench = app.add_subcommand("bench", "paired measurements")->require_subcommand(1);
  add_bench_step(*bench, arguments);
  add_bench_decode(*bench, arguments);
  add_bench_kernels(*bench, arguments);
}

// Follows the words of the command line down the commands; CLI11 itself would only say that one is
// required.
void check_command(const CLI::App& app, std::span<char*> words) {
  std::string command = app.get_name();
  const CLI::App* at = &app;
  for (const std::string word : words) {
    const std::vector<const CLI::App*> verbs = at->get_subcommands({});
    if (verbs.empty()) {
      return;
    }
    if (word.starts_with('-')) {
      continue;
    }
    std::vector<std::string> names;
    const CLI::App* found = nullptr;
    for (const CLI::App* verb : verbs) {
      names.push_back(verb->get_name());
      found = verb->get_name() == word ? verb : found;
    }
    if (found == nullptr) {
      const std::string near = nearest_name(word, names);
      fail(command, ": unknown command ", word, near.empty() ? "" : "; did you mean " + near + "?",
           " (commands: ", join(names, ", "), ")");
    }
    command += " " + word;
    at = found;
  }
}

}  // namespace

int parse_and_run(int argc, char** argv) {
  CLI::App app{"Setun trains networks with ternary and few-bit weights from one YAML recipe.",
               "setun"};
  app.set_version_flag("--version", "setun " SETUN_VERSION);
  app.require_subcommand(1);
  Arguments arguments;
  app.add_flag("--verbose", arguments.verbose, "log details to standard error");
  add_verb(app, arguments, "train", "train, or resume the run in run.output",
           "recipe.yaml, or a run folder")
      ->callback([&] { cmd_train(arguments.target); });
  add_verb(app, arguments, "eval", "validation loss of the newest checkpoint")->callback([&] {
    cmd_eval(arguments.target);
  });
  add_verb(app, arguments, "generate", "continue generate.prompt")->callback([&] {
    cmd_generate(arguments.target);
  });
  add_verb(app, arguments, "data", "prepare and describe the corpus", "recipe.yaml")->callback([&] {
    cmd_data(arguments.target);
  });
  add_sweep(app, arguments);
  CLI::App* inspect =
      app.add_subcommand("inspect", "tensors, code histograms and packed size of a checkpoint");
  inspect
      ->add_option("path", arguments.target.path,
                   "run folder, checkpoint folder or .safetensors file")
      ->required();
  inspect->callback([&] { cmd_inspect(arguments.target.path); });
  add_bench(app, arguments);
  CLI::App* config =
      app.add_subcommand("config", "print, check or document recipes")->require_subcommand(1);
  CLI::App* print =
      add_verb(*config, arguments, "print", "the resolved recipe: what differs from the defaults");
  print->add_flag("--full", arguments.full, "every key");
  print->callback([&] { cmd_config_print(arguments.target, arguments.full); });
  add_verb(*config, arguments, "check", "sizes, memory, layers and phases, without making a tensor")
      ->callback([&] { cmd_config_check(arguments.target); });
  config->add_subcommand("reference", "every key, as Markdown")->callback([] {
    cmd_config_reference();
  });
  app.parse_complete_callback([&] {
    if (arguments.verbose) {
      set_log_level(LogLevel::kDebug);
    }
  });
  check_command(app, std::span(argv, static_cast<std::size_t>(argc)).subspan(1));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& problem) {
    return app.exit(problem, std::cout, std::cerr) == 0 ? 0 : 2;
  }
  return 0;
}

}  // namespace setun::cli
