#include "cli/parse.h"

#include <CLI/CLI.hpp>
#include <iostream>

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
  int64_t repetitions = 11;
};

CLI::App* add_verb(CLI::App& parent, Arguments& arguments, const char* name, const char* help,
                   const char* what = "recipe.yaml, or the folder of a run or checkpoint") {
  CLI::App* verb = parent.add_subcommand(name, help);
  verb->add_option("recipe", arguments.target.path, what)->required();
  verb->add_option("override", arguments.target.overrides, "section.key=value, any number of them");
  return verb;
}

void suggest_command(const CLI::App& app, int argc, char** argv) {
  std::vector<std::string> names;
  for (const CLI::App* verb : app.get_subcommands({})) {
    names.push_back(verb->get_name());
  }
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word.empty() || word.front() == '-') {
      continue;
    }
    if (std::find(names.begin(), names.end(), word) == names.end()) {
      const std::string near = nearest_name(word, names);
      fail("setun: unknown command ", word, near.empty() ? "" : "; did you mean " + near + "?",
           " (commands: ", join(names, ", "), ")");
    }
    return;
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
  CLI::App* inspect =
      app.add_subcommand("inspect", "tensors, code histograms and packed size of a checkpoint");
  inspect
      ->add_option("path", arguments.target.path,
                   "run folder, checkpoint folder or .safetensors file")
      ->required();
  inspect->callback([&] { cmd_inspect(arguments.target.path); });
  CLI::App* bench = app.add_subcommand("bench", "paired measurements")->require_subcommand(1);
  CLI::App* step = add_verb(*bench, arguments, "step",
                            "a training step against full precision and plain LibTorch");
  step->add_option("--repetitions", arguments.repetitions, "alternating repetitions")
      ->check(CLI::PositiveNumber);
  step->callback([&] { cmd_bench_step(arguments.target, arguments.repetitions); });
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
  suggest_command(app, argc, argv);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& problem) {
    return app.exit(problem, std::cout, std::cerr) == 0 ? 0 : 2;
  }
  return 0;
}

}  // namespace setun::cli
