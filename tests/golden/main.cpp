// golden_tests [--golden DIR]: runs every case of DIR/*.json (default tests/golden) and prints "N
// passed, N failed, N skipped".
#include <filesystem>
#include <fstream>
#include <iostream>
#include <set>

#include "golden/golden.h"

namespace setun::golden {
namespace {

namespace fs = std::filesystem;

struct Totals {
  int passed = 0, failed = 0, skipped = 0;
  std::map<std::string, int> not_built;  // function -> cases
};

Adapters all_adapters() {
  Adapters adapters;
  add_activation_adapters(adapters);
  add_gaussian_adapters(adapters);
  add_glu_adapters(adapters);
  add_loss_adapters(adapters);
  add_low_bit_adapters(adapters);
  add_mixture_adapters(adapters);
  add_optimizer_adapters(adapters);
  add_schedule_adapters(adapters);
  add_quantizer_adapters(adapters);
  add_weight_adapters(adapters);
  return adapters;
}

// "" or the first difference, in either memory layout.
std::string run(const Adapter& adapter, const Json& test) {
  for (const bool strided : {false, true}) {
    const Arguments arguments(test.at("inputs"), test.value("params", Json::object()), strided);
    const std::string difference =
        compare(adapter(arguments), test.at("expected"), test.at("tolerance"));
    if (!difference.empty()) {
      return (strided ? "with strided tensors: " : "") + difference;
    }
  }
  return "";
}

void run_case(const Adapters& adapters, const Json& test, Totals& totals) {
  const auto name = test.at("name").get<std::string>();
  const std::string function = name.substr(0, name.find('/'));
  const auto adapter = adapters.find(function);
  if (adapter == adapters.end()) {
    ++totals.skipped;
    ++totals.not_built[function];
    return;
  }
  std::string difference;
  try {
    difference = run(adapter->second, test);
  } catch (const NotBuilt& reason) {
    ++totals.skipped;
    std::cout << "skipped: " << name << ": " << reason.what() << "\n";
    return;
  } catch (const std::exception& error) {
    difference = error.what();
  }
  if (difference.empty()) {
    ++totals.passed;
  } else {
    ++totals.failed;
    std::cout << "FAILED: " << name << ": " << difference << "\n";
  }
}

int run_folder(const fs::path& folder) {
  const Adapters adapters = all_adapters();
  std::set<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".json") {
      files.insert(entry.path());
    }
  }
  Totals totals;
  for (const fs::path& file : files) {
    const Json topic = Json::parse(std::ifstream(file));
    for (const Json& test : topic.at("cases")) {
      run_case(adapters, test, totals);
    }
  }
  for (const auto& [function, cases] : totals.not_built) {
    std::cout << "skipped: " << function << " is not built yet (" << cases << " cases)\n";
  }
  std::cout << totals.passed << " passed, " << totals.failed << " failed, " << totals.skipped
            << " skipped" << std::endl;
  return totals.failed == 0 && totals.passed > 0 ? 0 : 1;
}

}  // namespace
}  // namespace setun::golden

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (!arguments.empty() && (arguments.size() != 2 || arguments[0] != "--golden")) {
    std::cerr << "usage: golden_tests [--golden DIR]\n";
    return 2;
  }
  try {
    return setun::golden::run_folder(arguments.empty() ? "tests/golden" : arguments[1]);
  } catch (const std::exception& error) {
    std::cerr << "golden_tests: " << error.what() << "\n";
    return 2;
  }
}
