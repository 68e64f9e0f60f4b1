// The program. Exit codes: 0 done, 2 the user's error (one clear message), 1 a bug of Setun.
#include <charconv>
#include <cstdlib>
#include <iostream>
#include <string>

#include "base/error.h"
#include "base/files.h"
#include "cli/parse.h"

namespace {

// SETUN_FAULT_POINT=name:count makes the process die at a named place: for crash tests only, never
// set by a user.
void arm_fault_point_from_environment() {
  const char* value = std::getenv("SETUN_FAULT_POINT");
  if (value == nullptr) {
    return;
  }
  const std::string text = value;
  const std::size_t colon = text.rfind(':');
  int64_t count = 0;
  if (colon != std::string::npos &&
      std::from_chars(text.data() + colon + 1, text.data() + text.size(), count).ec ==
          std::errc()) {
    setun::arm_fault_point(text.substr(0, colon), count);
  }
}

}  // namespace

int main(int argc, char** argv) {
  arm_fault_point_from_environment();
  try {
    return setun::cli::parse_and_run(argc, argv);
  } catch (const setun::Error& problem) {
    std::cerr << problem.what() << "\n";
    return 2;
  } catch (const std::exception& problem) {
    std::cerr
        << "setun: this is a bug of Setun, please report it with the command and the recipe:\n"
        << problem.what() << "\n";
    return 1;
  }
}
