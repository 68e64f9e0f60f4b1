// The command line: `setun <command> recipe.yaml [section.key=value]...`. Few flags;
// tests/config/cli_help.txt freezes them.
#pragma once

namespace setun::cli {

// Runs the command. Exit code: 0 done, 2 the user's error (argument errors included). Errors are
// thrown.
int parse_and_run(int argc, char** argv);

}  // namespace setun::cli
